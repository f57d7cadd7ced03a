package history

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/httpx"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	core "k8s.io/api/core/v1"
)

// How Helm stores a revision. Source: helm.sh/helm/v3, pkg/storage/driver/secrets.go and util.go.
const (
	recordKey  = "release"
	recordType = core.SecretType("helm.sh/release.v1")

	labelName     = "name"
	labelOwner    = "owner"
	labelStatus   = "status"
	labelVersion  = "version"
	labelCreated  = "createdAt"
	labelModified = "modifiedAt"
)

var systemLabels = []string{labelName, labelOwner, labelStatus, labelVersion, labelCreated, labelModified}

// maxRecord limits a decompressed record, in bytes. The Secret itself has at most 1 MiB.
const maxRecord = 64 << 20

// recordName returns the name of a revision's Secret.
func recordName(release string, revision int) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, release, revision)
}

// setRecord sets a Secret's content, and the labels that describe the revision.
func setRecord(secret *core.Secret, revision *helmrelease.Release, content []byte) {
	secret.Data = map[string][]byte{recordKey: content}
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, map[string]string{
		labelName: revision.Name, labelOwner: "helm", labelStatus: revision.Info.Status.String(), labelVersion: strconv.Itoa(revision.Version),
		statusLabel: statusValue(revision.Version, revision.Info.Status),
	})
}

// encode compresses a revision as Helm does. It sanitizes the description, because Helm copies messages of the cluster into it.
func encode(revision *helmrelease.Release) ([]byte, error) {
	revision.Info.Description = failure.Sanitize(revision.Info.Description)
	text, err := json.Marshal(revision)
	if err != nil {
		return nil, fmt.Errorf("encoding revision %d of release %q: %w", revision.Version, revision.Name, err)
	}
	var compressed bytes.Buffer
	out, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(text); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, compressed.Bytes()), nil
}

// decode decodes a record. Early versions of Helm 3 did not compress it.
func decode(content []byte) (*helmrelease.Release, error) {
	text, err := base64.StdEncoding.AppendDecode(nil, content)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte{0x1f, 0x8b, 0x08}) {
		in, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		if text, err = httpx.ReadAll(in, maxRecord); err != nil {
			return nil, fmt.Errorf("decompressing it: %w", err)
		}
	}
	revision := new(helmrelease.Release)
	if err := json.Unmarshal(text, revision); err != nil {
		return nil, err
	}
	if revision.Name == "" || revision.Info == nil || revision.Version < 1 {
		return nil, errors.New("it is not a release record")
	}
	return revision, nil
}
