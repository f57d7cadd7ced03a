package deploy

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/setting"
)

// Wave is a group of deploys that run concurrently, after those of the wave before it have ended.
type Wave = matrix.Wave[Settings]

// ParseMatrix reads a matrix of deploys: services, environments and clusters, or deploys that are written out. All problems are reported
// together, with file and line, as a *release.InputError.
func ParseMatrix(file string, content []byte, options matrix.Options) ([]Wave, error) {
	return matrix.Parse(matrix.Verb[Settings]{
		Name: Verb.Name, Declare: func(s *Settings) *setting.Set { return s.Declare() }, Whole: []string{"job-timeout", "heal", "rollback-failed-smoke", "plan", "plan-out", "plan-digest"},
		Title: Settings.title, Target: Settings.target,
	}, file, content, options)
}

// target identifies the release that a deploy changes, and names it.
func (s Settings) target() (target, name string) {
	return strings.Join([]string{s.Kubeconfig, s.Context, s.Region, s.Cluster, s.Namespace, s.Release}, "\x00"),
		fmt.Sprintf("release %q in namespace %q of the same cluster", s.Release, s.Namespace)
}
