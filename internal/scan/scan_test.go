package scan_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/scan"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// files are the registry and the work tree.
type files struct {
	content   map[string]string
	platforms []release.PlatformImage
	missing   bool
}

func (f files) ReadUpTo(_ int64, setting, path, do string) ([]byte, error) {
	content, found := f.content[path]
	if !found {
		return nil, release.BadSetting(setting, "does not exist", do)
	}
	return []byte(content), nil
}

func (f files) Platforms(_ context.Context, image release.Image) ([]release.PlatformImage, bool, error) {
	if f.platforms == nil { // the image itself
		return []release.PlatformImage{{Manifest: image.Digest}}, !f.missing, nil
	}
	return f.platforms, !f.missing, nil
}

// lines are what a run reports.
type lines struct {
	releasetest.DiscardReporter
	strings.Builder
}

func (l *lines) Infof(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }
func (l *lines) Warnf(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// results is a log with findings of each severity that is given, of an image.
func results(t *testing.T, of, at string, scores ...float64) string {
	t.Helper()
	var all []string
	for i, score := range scores {
		all = append(all, fmt.Sprintf(`{"ruleId":"CVE-2026-000%d","properties":{"security-severity":%.1f}}`, i, score))
	}
	invocation, digests := "", ""
	if at != "" {
		invocation = fmt.Sprintf(`"invocations":[{"executionSuccessful":true,"endTimeUtc":%q}],`, at)
	}
	if of != "" {
		digests = fmt.Sprintf(`"properties":{"repoDigests":["other.example/x@%s"]},`, releasetest.Digest(t, of))
	}
	return fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Trivy"}},%s%s"results":[%s]}]}`, invocation, digests, strings.Join(all, ","))
}

func TestRun(t *testing.T) {
	t.Parallel()
	const yesterday = "2026-11-29T13:00:00Z"
	vex := `{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2026-0000","analysis":{"state":"not_affected"}}]}`
	for name, test := range map[string]struct {
		files   files
		flags   []string
		earlier *fact.Scan // that is recorded
		code    int
		says    string
		counts  string
		lacks   string // what is recorded as unstated
		want    release.Outcome
	}{
		"findings":               {files: files{content: map[string]string{"r": results(t, "a", yesterday, 9.8, 5)}}, says: "Trivy of ", counts: "1 critical, 1 medium", want: release.Created},
		"none":                   {files: files{content: map[string]string{"r": results(t, "a", yesterday)}}, says: "without a signature", counts: "no findings that count", want: release.Created},
		"of a platform":          {files: files{content: map[string]string{"r": results(t, "b", yesterday, 5)}, platforms: []release.PlatformImage{{Manifest: releasetest.Digest(t, "b")}}}, counts: "1 medium", want: release.Created},
		"of one platform of two": {files: files{content: map[string]string{"r": results(t, "b", "", 5)}, platforms: []release.PlatformImage{{Manifest: releasetest.Digest(t, "b")}, {Manifest: releasetest.Digest(t, "c")}}}, says: "accept-unstated lists [time platforms]", lacks: "[time platforms]", counts: "1 medium", want: release.Created},
		"of the index of two":    {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5)}, platforms: []release.PlatformImage{{Manifest: releasetest.Digest(t, "b")}, {Manifest: releasetest.Digest(t, "c")}}}, counts: "1 medium", want: release.Created},
		"another's statement":    {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5), "v": strings.Replace(vex, `"vuln`, `"metadata":{"component":{"type":"container","name":"x","version":"`+releasetest.Digest(t, "c").String()+`"}},"vuln`, 1)}}, flags: []string{"--vex", "v"}, code: release.ExitInput, says: "--vex"},
		"its own statement":      {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5), "v": strings.Replace(vex, `"vuln`, `"metadata":{"component":{"type":"container","name":"x","version":"`+releasetest.Digest(t, "a").String()+`"}},"vuln`, 1)}}, flags: []string{"--vex", "v"}, counts: "no findings that count, 1 do not count", want: release.Created},
		"of no image":            {files: files{content: map[string]string{"r": results(t, "", yesterday, 5)}}, says: "do not say which image", lacks: "[image]", counts: "1 medium", want: release.Created},
		"at no time":             {files: files{content: map[string]string{"r": results(t, "a", "", 5)}}, says: "the time of this run", lacks: "[time]", counts: "1 medium", want: release.Created},
		"a statement":            {files: files{content: map[string]string{"r": results(t, "a", yesterday, 9.8, 5), "v": vex}}, flags: []string{"--vex", "v"}, says: "does not count: CVE-2026-0000", counts: "1 medium, 1 do not count", want: release.Created},
		"the same an hour later": {files: files{content: map[string]string{"r": results(t, "a", "2026-11-29T14:00:00Z", 5)}}, earlier: &fact.Scan{}, says: "unchanged", counts: "1 medium", want: release.Unchanged},
		"the same a day later":   {files: files{content: map[string]string{"r": results(t, "a", "2026-11-30T11:00:00Z", 5)}}, earlier: &fact.Scan{ScannedAt: now.Add(-25 * time.Hour)}, counts: "1 medium", want: release.Created},
		"of another image":       {files: files{content: map[string]string{"r": results(t, "c", yesterday, 5)}}, code: release.ExitInput, says: "are about sha256:cccc"},
		"of tomorrow":            {files: files{content: map[string]string{"r": results(t, "a", "2026-12-01T12:00:00Z", 5)}}, code: release.ExitInput, says: "in the future"},
		"no file":                {code: release.ExitInput, says: "does not exist"},
		"no results":             {files: files{content: map[string]string{"r": `{}`}}, code: release.ExitInput, says: "neither SARIF nor CycloneDX"},
		"no statements":          {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5), "v": "{}"}}, flags: []string{"--vex", "v"}, code: release.ExitInput, says: "--vex"},
		"a Helm chart":           {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5)}, platforms: []release.PlatformImage{}}, code: release.ExitFailed, says: "is no image"},
		"no image":               {files: files{content: map[string]string{"r": results(t, "a", yesterday, 5)}, missing: true}, code: release.ExitFailed, says: "is not in its registry"},
	} {
		facts, told := new(releasetest.Facts), new(lines)
		image := release.Repository("localhost:5000/shop").At(releasetest.Digest(t, "a"))
		var settings scan.Settings
		if err := settingtest.Apply(settings.Declare(), append([]string{"--image", image.String(), "--results", "r"}, test.flags...)...); err != nil {
			t.Fatal(err)
		}
		deps := scan.Deps{Registry: test.files, Facts: facts, Files: test.files, Origin: fact.Origin{By: "octocat"}, Reporter: told, Now: func() time.Time { return now }}
		if test.earlier != nil {
			before := files{content: map[string]string{"r": results(t, "a", yesterday, 5)}}
			deps.Files = before
			if _, err := scan.Run(t.Context(), settings, deps); err != nil {
				t.Fatal(err)
			}
			if at := test.earlier.ScannedAt; !at.IsZero() {
				facts.Recorded[0].Scan.ScannedAt = at
			}
			deps.Files = test.files
		}
		earlier := len(facts.Recorded)
		result, err := scan.Run(t.Context(), settings, deps)
		if release.ExitCode(err) != test.code || !strings.Contains(told.String()+fmt.Sprint(err), test.says) {
			t.Errorf("%s: got %v, told %q, want exit code %d and %q", name, err, told, test.code, test.says)
		}
		if wasRecorded := len(facts.Recorded) > earlier; wasRecorded != (test.want == release.Created) || result.Outcome != test.want {
			t.Errorf("%s: recorded %t, outcome %q", name, wasRecorded, result.Outcome)
		}
		if test.code != 0 {
			continue
		}
		if got := result.Scan.String(); got != test.counts || result.Record.IsZero() {
			t.Errorf("%s: got %q, want %q", name, got, test.counts)
		}
		if got := fmt.Sprint(result.Scan.Unstated); got != cmp.Or(test.lacks, "[]") {
			t.Errorf("%s: unstated %s, want %q", name, got, test.lacks)
		}
		if latest := facts.Recorded[len(facts.Recorded)-1]; latest.Kind != fact.Scanned || latest.Image != image || latest.By != "octocat" || latest.Scan.Results.IsZero() || latest.Scan.ScannedAt.After(now) {
			t.Errorf("%s: recorded %+v", name, latest)
		}
	}
}
