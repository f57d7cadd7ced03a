package app

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/setting"
)

// TestAWarningIsGivenOnce: by one command, and by the steps of one job; another job, and a command elsewhere, gives it again.
func TestAWarningIsGivenOnce(t *testing.T) {
	t.Parallel()
	type none struct{}
	command := NewCommand(Wiring[none, none]{
		Verb: setting.Verb{Name: "try"}, Declare: func(*none) *setting.Set { return new(setting.Set) },
		Run: func(_ context.Context, _ *none, run *RunContext) (none, error) {
			run.Reporter.Warnf("%s is not signed", "it")
			run.Reporter.Warnf("it is not %s", "signed")
			return none{}, nil
		},
		Outputs: func(none) map[string]string { return nil },
		Page:    func(*none, none, error) page.Page { return page.Page{Headline: page.Line("done")} },
	})
	said := func(environ ...string) int {
		t.Helper()
		var out, log bytes.Buffer
		if code := command.Run(t.Context(), Process{Dir: t.TempDir(), Environ: environ, Stdout: &out, Stderr: &log, Now: time.Now}); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, log.String())
		}
		return strings.Count(out.String()+log.String(), "warning: it is not signed")
	}
	job := []string{"GITHUB_ACTIONS=true", "RUNNER_TEMP=" + t.TempDir()}
	for i, test := range []struct {
		environ []string
		want    int
	}{{nil, 1}, {nil, 1}, {job, 1}, {job, 0}, {[]string{"GITHUB_ACTIONS=true", "RUNNER_TEMP=" + t.TempDir()}, 1}, {job[1:], 1}} {
		if got := said(test.environ...); got != test.want {
			t.Errorf("run %d: said %d times, want %d", i, got, test.want)
		}
	}
}
