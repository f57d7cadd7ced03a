package chart

import (
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Quotable returns what an error about a deployment may quote of its values: every scalar of the files, as far as they can be read,
// and of the assignments. The files need not be YAML.
func Quotable(deployment release.Deployment) (scalars []string) {
	for _, file := range deployment.ValuesFiles {
		if content, err := readRegularFile(file, maxValues); err == nil {
			scalars = append(scalars, text.Scalars(string(content))...)
		}
	}
	for _, assignments := range [][]string{deployment.Set, deployment.SetJSON} {
		for _, assignment := range assignments {
			_, value, _ := strings.Cut(assignment, "=")
			scalars = append(scalars, value, strings.Trim(value, `"`))
		}
	}
	return scalars
}
