package fact

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// MaxSBOM is the most bytes of a document, so that a registry stores it signed (1 MiB of a bundle, in which it is base64).
const MaxSBOM = 704 << 10

// SBOM is a document that lists what an image contains, as far as its writer knows: CycloneDX in JSON. A fact of this kind has no more than the
// document says, so its time is the document's, and it has no commit and no run.
type SBOM struct {
	Document   []byte `json:"-"`                      // as NewSBOM normalizes it
	Spec       string `json:"specVersion"`            // version of CycloneDX
	Serial     string `json:"serialNumber,omitempty"` // "" if it has none
	Components int    `json:"components"`             // entries of its list
}

// specVersion is a version of CycloneDX that has a JSON form. Source: CycloneDX specification, "Version History".
var specVersion = regexp.MustCompile(`^1\.[2-9]$`)

// NewSBOM reads what identifies a document of at most MaxSBOM bytes, and its time, which is zero if the document has none. The document is kept
// without insignificant space. Anything but CycloneDX from version 1.2 on in JSON is an error.
func NewSBOM(document []byte) (sbom SBOM, at time.Time, err error) {
	var read struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Serial   string `json:"serialNumber"`
		Metadata struct {
			Timestamp string `json:"timestamp"`
		} `json:"metadata"`
		Components []json.RawMessage `json:"components"`
	}
	if len(document) > MaxSBOM {
		return SBOM{}, at, fmt.Errorf("it is %d bytes long, limit %d", len(document), MaxSBOM)
	}
	if err := json.Unmarshal(document, &read); err != nil {
		return SBOM{}, at, err
	}
	switch {
	case read.Format != "CycloneDX":
		return SBOM{}, at, errors.New("it is not CycloneDX in JSON (bomFormat)")
	case !specVersion.MatchString(read.Spec):
		return SBOM{}, at, fmt.Errorf("%.20q is not a version of CycloneDX with a JSON form", read.Spec)
	case len(read.Serial) > 100:
		return SBOM{}, at, errors.New("its serial number is longer than 100 bytes")
	}
	if read.Metadata.Timestamp != "" {
		if at, err = time.Parse(time.RFC3339, read.Metadata.Timestamp); err != nil {
			return SBOM{}, at, fmt.Errorf("its timestamp is not a time: %.40q", read.Metadata.Timestamp)
		}
	}
	compact, err := json.Marshal(json.RawMessage(document)) // as it is inside of a statement
	if err == nil && len(compact) > MaxSBOM {
		err = fmt.Errorf("it is %d bytes long with escapes, limit %d", len(compact), MaxSBOM)
	}
	return SBOM{Document: compact, Spec: read.Spec, Serial: read.Serial, Components: len(read.Components)}, at.UTC(), err
}
