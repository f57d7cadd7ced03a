package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// maxSecret is the largest size of a Secret's data, in bytes.
// Source: kubernetes.io, "Secrets", Size limit; k8s.io/api, core/v1, MaxSecretSize.
const maxSecret = 1 << 20

// recordReserve is room for what is added to a record after it was measured: its status and its description.
const recordReserve = 4 << 10

// surelyFits is a total size of a revision's parts, in bytes, with which its record always fits, even without any compression:
// base64 twice makes it 16/9 as large.
const surelyFits = 512 << 10

// CheckSize refuses a revision whose record would not fit into a Secret. The error is a *release.InputError that lists the
// largest parts.
func CheckSize(revision *helmrelease.Release) error {
	parts := partsOf(revision)
	total := 0
	for _, one := range parts {
		total += one.size
	}
	if total <= surelyFits {
		return nil
	}
	content, err := encode(revision)
	if err != nil {
		return err
	}
	if len(content) <= maxSecret-recordReserve {
		return nil
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.size, a.size) })
	largest := make([]string, 0, maxNamed)
	for _, one := range parts[:min(len(parts), maxNamed)] {
		largest = append(largest, fmt.Sprintf("%s (%d bytes)", one.name, one.size))
	}
	return release.BadSetting("chart", fmt.Sprintf("%s Helm's record of the release would have %d bytes, and a Secret holds at most %d; the largest parts, before they are compressed: %s",
		causes.RecordTooLarge, len(content), maxSecret, text.Line(strings.Join(largest, ", "), text.NoLimit)), causes.RecordTooLarge.Cause().Advice)
}

// maxNamed is how many parts of a record are listed.
const maxNamed = 3

type part struct {
	name string
	size int
}

// partsOf lists the parts of a record. A record contains no subcharts, only what they render.
func partsOf(revision *helmrelease.Release) []part {
	parts := []part{{"the rendered manifest", len(revision.Manifest)}, {"values.schema.json", len(revision.Chart.Schema)}}
	for _, file := range slices.Concat(revision.Chart.Templates, revision.Chart.Files) {
		parts = append(parts, part{file.Name, len(file.Data)})
	}
	for _, hook := range revision.Hooks {
		parts = append(parts, part{"the rendered hook " + hook.Path, len(hook.Manifest)})
	}
	return parts
}
