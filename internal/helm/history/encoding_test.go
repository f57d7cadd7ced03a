package history

import (
	"encoding/base64"
	"testing"

	helmrelease "helm.sh/helm/v3/pkg/release"
)

// FuzzDecode: whoever may write Secrets can have written a record.
func FuzzDecode(f *testing.F) {
	good, err := encode(&helmrelease.Release{Name: "shop", Version: 3, Info: &helmrelease.Info{Status: helmrelease.StatusDeployed}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("garbage!"))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"shop","version":1,"info":{}}`))))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0x08, 0})))
	f.Fuzz(func(t *testing.T, content []byte) {
		revision, err := decode(content)
		if err == nil && (revision.Name == "" || revision.Version < 1 || revision.Info == nil) {
			t.Errorf("decoded %+v", revision)
		}
	})
}
