package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

const twoWaves = `
waves:
  - name: canary
    deploys:
      - {environment: production, context: canary, values: [canary.yaml]}
  - name: the rest
    deploys:
      - {environment: production, context: eu, set: [config.REGION=eu]}
      - {environment: production, kube-context: us, namespace: shop-us}
`

func one(text string) setting.Input { return setting.Input{Texts: []string{text}} }

func waves(t *testing.T, text string, timeout string) []deploy.Wave {
	t.Helper()
	given := setting.Values{"image": one(image(t, "a").String()), "values": one("base.yaml"), "matrix": one("deploys.yaml"), "timeout": one(timeout)}
	read, err := deploy.ParseMatrix("deploys.yaml", []byte(text), matrix.Options{Inputs: given})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestParseMatrix(t *testing.T) {
	t.Parallel()
	read := waves(t, twoWaves, "3m")
	canary, us := read[0].Jobs[0].Settings, read[1].Jobs[1].Settings
	if canary.Context != "canary" || canary.Release != "shop" || canary.Values[0] != "canary.yaml" || len(canary.Values) != 1 || canary.Timeout.Minutes() != 3 {
		t.Errorf("got %+v", canary)
	}
	if us.Context != "us" || us.Namespace != "shop-us" || us.Values[0] != "base.yaml" || read[1].Name != "the rest" {
		t.Errorf("got %+v", us)
	}
}

// TestParseMatrixClearsWithAnEmptyValue: one deploy does without what the command line gives to all.
func TestParseMatrixClearsWithAnEmptyValue(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{`""`, "", "[]", "null"} {
		text := "waves:\n  - name: all\n    deploys:\n      - environment: staging\n        smoke-checks: " + empty + "\n      - environment: production\n"
		read, err := deploy.ParseMatrix("deploys.yaml", []byte(text), matrix.Options{Inputs: setting.Values{"image": one(image(t, "a").String()), "smoke-checks": one("checks.yaml")}})
		if err != nil {
			t.Errorf("%s: %v", empty, err)
			continue
		}
		if got := [2]string{read[0].Jobs[0].Settings.SmokeChecks, read[0].Jobs[1].Settings.SmokeChecks}; got != [2]string{"", "checks.yaml"} {
			t.Errorf("%s: got %q", empty, got)
		}
	}
}

func TestParseMatrixReportsAllProblems(t *testing.T) {
	t.Parallel()
	text := `
waves:
  - name: one
    deploys:
      - {environment: No, context: a}
      - {environment: staging, colour: red}
      - {environment: staging, matrix: other.yaml}
      - {environment: staging, set: {a: b}}
      - {environment: staging, kubeconfig: own.yaml, allow-work-tree-kubeconfig: "true"}
      - {environment: staging, release: same}
      - {environment: staging, release: same}
  - name: empty
`
	_, err := deploy.ParseMatrix("deploys.yaml", []byte(text), matrix.Options{Inputs: setting.Values{"image": one(image(t, "a").String())}})
	check(t, fmt.Sprint(err), `deploys.yaml:5: --environment: "No" is not a DNS label`, `deploys.yaml:6: there is no setting "colour"`,
		`deploys.yaml:7: "matrix" applies to the whole matrix`, `deploys.yaml:8: "set" takes a value or a list`,
		`deploys.yaml:9: "allow-work-tree-kubeconfig" applies to the whole matrix`,
		`release "same" in namespace "staging" of the same cluster is listed twice`, `wave "empty" has no deploys`)
	if release.ExitCode(err) != release.ExitInput {
		t.Errorf("exit %d", release.ExitCode(err))
	}
	for _, text := range []string{"", "waves: []", "wave: []", "waves: {", "- a"} {
		if _, err := deploy.ParseMatrix("deploys.yaml", []byte(text), matrix.Options{Inputs: nil}); release.ExitCode(err) != release.ExitInput {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzParseMatrix(f *testing.F) {
	f.Add([]byte(twoWaves))
	f.Add([]byte("waves: [{deploys: [{environment: [a, b], image: &x x}, *x]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		waves, err := deploy.ParseMatrix("x.yaml", text, matrix.Options{})
		if err != nil && release.ExitCode(err) != release.ExitInput {
			t.Errorf("%v is not bad input", err)
		}
		if err == nil && len(waves) == 0 {
			t.Error("no deploys and no error")
		}
	})
}

// fakesOf gives every deploy of a wave fakes of its own: the deploys run at the same time.
type fakesOf struct {
	fakes func() *fakes
	mu    sync.Mutex
	given []*fakes
}

func (f *fakesOf) deps(reporter release.Reporter) deploy.Deps {
	own := f.fakes()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.given = append(f.given, own)
	return own.deps(reporter)
}

// done returns what all of the deploys did, once they have ended.
func (f *fakesOf) done() []string {
	var done []string
	for _, own := range f.given {
		done = append(done, own.done...)
	}
	return done
}

func TestRunWavesStopsAfterAFailedWave(t *testing.T) {
	t.Parallel()
	canary := &fakes{watchErr: broken("CrashLoopBackOff"), revision: commit.String()}
	rest := fakesOf{fakes: func() *fakes { return &fakes{revision: commit.String()} }}
	book := &fakes{}
	newDeps := func(settings deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
		if settings.Context == "canary" {
			return canary.deps(reporter), nil
		}
		return rest.deps(reporter), nil
	}
	result, err := deploy.RunWaves(t.Context(), deploy.Settings{Options: matrix.Options{Concurrency: 2}}, waves(t, twoWaves, "10m"), recorder{book}, newDeps)
	check(t, fmt.Sprint(err), "canary/production/shop", "CrashLoopBackOff")
	if len(result.Deploys) != 1 || result.Skipped != 2 || len(rest.done()) != 0 {
		t.Errorf("got %d results, %d skipped, and did %v", len(result.Deploys), result.Skipped, rest.done())
	}
	check(t, strings.Join(book.lines, "\n"), `skipped: wave "the rest", 2 deploys`, "[canary/production/shop] OD-103")
}

func TestRunWavesChecksEveryDeployFirst(t *testing.T) {
	t.Parallel()
	canary := &fakes{revision: commit.String()}
	rest := fakesOf{fakes: func() *fakes {
		return &fakes{revision: commit.String(), checkErr: release.BadInput("values.yaml:3", "is wrong", "")}
	}}
	newDeps := func(settings deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
		if settings.Context == "canary" {
			return canary.deps(reporter), nil
		}
		return rest.deps(reporter), nil
	}
	_, err := deploy.RunWaves(t.Context(), deploy.Settings{Options: matrix.Options{Concurrency: 2}}, waves(t, twoWaves, "10m"), recorder{&fakes{}}, newDeps)
	if release.ExitCode(err) != release.ExitInput || strings.Count(fmt.Sprint(err), "values.yaml:3") != 2 || len(canary.done) > 0 {
		t.Errorf("got %v and did %v", err, canary.done)
	}
}

func TestRunWaves(t *testing.T) {
	t.Parallel()
	all := fakesOf{fakes: func() *fakes {
		return &fakes{revision: commit.String(), pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}}
	}}
	result, err := deploy.RunWaves(t.Context(), deploy.Settings{Options: matrix.Options{Concurrency: 2}}, waves(t, twoWaves, "10m"), recorder{&fakes{}}, func(_ deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
		return all.deps(reporter), nil
	})
	if err != nil || result.Outcome != release.Changed || len(result.Deploys) != 3 {
		t.Errorf("got %+v, %v", result, err)
	}
}

// TestDocumentedMatrix parses the example in docs/matrix.md.
func TestDocumentedMatrix(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "matrix.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\nwaves:")
	rest = "waves:" + rest
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example in docs/matrix.md")
	}
	if read := waves(t, example, "10m"); len(read) != 2 {
		t.Errorf("got %d waves", len(read))
	}
}

// TestAMatrixFileTurnsNothingOff: a file cannot turn a deploy into a dry run, allow what a deploy refuses, or name a plan. A dry run of the whole is
// inherited.
func TestAMatrixFileTurnsNothingOff(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"dry-run: true", "allow-rollback: true", "allow-diverged: true", "unpin: true", "plan: p.json", "plan-out: p.json", "plan-digest: sha256:" + strings.Repeat("0", 64)} {
		name, _, _ := strings.Cut(given, ":")
		_, err := deploy.ParseMatrix("m.yaml", []byte("waves: [{deploys: [{environment: staging, "+given+"}]}]"), matrix.Options{})
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), fmt.Sprintf("%q applies to the whole matrix", name)) {
			t.Errorf("%s: got %v", given, err)
		}
	}
	waves, err := deploy.ParseMatrix("m.yaml", []byte("waves: [{deploys: [{environment: staging, image: r.example.com/shop@sha256:"+strings.Repeat("a", 64)+"}]}]"),
		matrix.Options{Inputs: setting.Values{"dry-run": setting.Input{Texts: []string{"true"}}}})
	if err != nil || !waves[0].Jobs[0].Settings.DryRun {
		t.Errorf("got %v, %v", waves, err)
	}
}
