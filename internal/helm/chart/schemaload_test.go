package chart

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestSchemasOfOtherDocuments: a schema that refers to another document is used with a reader that has it, and refused otherwise.
func TestSchemasOfOtherDocuments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"Chart.yaml":         "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"values.yaml":        "replicas: many\n",
		"values.schema.json": `{"properties": {"replicas": {"$ref": "https://schemas.example.com/common.json#/definitions/count"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var asked []string
	load := func(address string) ([]byte, error) {
		asked = append(asked, address)
		return []byte(`{"definitions": {"count": {"type": "integer"}}}`), nil
	}
	refuse := func(string) ([]byte, error) { return nil, errors.New("no --schema-host") }
	for name, test := range map[string]struct {
		load SchemaLoader
		want string
	}{
		"with a reader":       {load, "integer"},
		"without":             {nil, "cannot be used"},
		"a reader that fails": {refuse, "no --schema-host"},
	} {
		_, err := LoadWith(release.Deployment{Name: "shop", Namespace: "staging", Chart: dir}, test.load)
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if len(asked) != 1 || asked[0] != "https://schemas.example.com/common.json" {
		t.Errorf("asked for %q", asked)
	}
}
