package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// rules are those of staging: that qa proved the image an hour ago or longer, and that chart and values are the commit's.
func rules(change func(*policy.Rung)) policy.Policy {
	staging := policy.Rung{Environment: "staging", Requires: policy.Requirements{Smoked: &policy.Smoked{In: "qa", MaxAge: 24 * time.Hour}, NotRejected: true, ChartOfCommit: true},
		Override: policy.Override{Actors: []string{"octocat"}, Signers: []policy.Signer{{Key: "override.pub"}}}}
	if change != nil {
		change(&staging)
	}
	return policy.Policy{Source: policy.Source{File: ".onedigest.yaml"}, Ladder: []policy.Rung{{Environment: "qa"}, staging}}
}

// TestTheRulesOfAnEnvironment: deploy asks for them itself, whatever the settings say, before it touches anything; a dry run asks too.
func TestTheRulesOfAnEnvironment(t *testing.T) {
	t.Parallel()
	imageDigest := image(t, "a").Digest
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		want  string // "": deployed
		exit  int
		free  bool // the file does not list the environment
		first bool // it lists no other
	}{
		"proved":        {fakes: &fakes{verdict: release.Pass}},
		"not proved":    {fakes: &fakes{}, want: `no evidence that "qa" proved`, exit: release.ExitFailed},
		"rejected":      {fakes: &fakes{verdict: release.Pass, against: []policy.Rejection{{Reason: "CVE-1"}}}, want: "was rejected", exit: release.ExitFailed},
		"another chart": {fakes: &fakes{verdict: release.Pass, checkedOut: release.CheckedOut{Commit: another, Differing: []string{"chart"}}}, want: "which differ from those of the image's commit", exit: release.ExitFailed},
		"another chart of the same image": {fakes: &fakes{verdict: release.Pass, revision: commit.String(), tags: map[release.Tag]release.Digest{release.Tag(another): imageDigest},
			checkedOut: release.CheckedOut{Commit: another, Differing: []string{"chart"}}}, want: "which differ from those of the image's commit", exit: release.ExitFailed},
		"a later commit's chart, which qa did not run": {fakes: &fakes{verdict: release.Pass, revision: commit.String(), tags: map[release.Tag]release.Digest{release.Tag(another): imageDigest},
			checkedOut: release.CheckedOut{Commit: another}}, flags: []string{"--commit", another.String()}, want: `says that "qa" ran chart and values of commit ` + another.Short(), exit: release.ExitFailed},
		"a later commit's chart, which qa ran": {fakes: &fakes{verdict: release.Pass, ran: another, revision: commit.String(), tags: map[release.Tag]release.Digest{release.Tag(another): imageDigest},
			checkedOut: release.CheckedOut{Commit: another}}, flags: []string{"--commit", another.String()}},
		"a later commit's chart in the first environment": {fakes: &fakes{revision: commit.String(), tags: map[release.Tag]release.Digest{release.Tag(another): imageDigest},
			checkedOut: release.CheckedOut{Commit: another}}, flags: []string{"--commit", another.String()}, first: true},
		"a value of the settings":      {fakes: &fakes{verdict: release.Pass}, flags: []string{"--set", "config.greeting=hello"}, want: `set or set-json sets "config.greeting"`, exit: release.ExitFailed},
		"a JSON value of the settings": {fakes: &fakes{verdict: release.Pass}, flags: []string{"--set-json", "replicas=2"}, want: `set or set-json sets "replicas"`, exit: release.ExitFailed},
		"a chart that is unknown":      {fakes: &fakes{verdict: release.Pass, checkedOutErr: errors.New("no history")}, want: "is unknown: no history", exit: release.ExitFailed},
		"a chart of another place":     {fakes: &fakes{verdict: release.Pass, outside: "charts/service"}, want: "outside the work tree", exit: release.ExitInput},
		"the first environment":        {fakes: &fakes{}, first: true},
		"an environment of no rules":   {fakes: &fakes{}, free: true, want: `"staging" is not an environment of .onedigest.yaml`, exit: release.ExitInput},
		"no rules, but a proof":        {fakes: &fakes{verdict: release.Pass}, free: true, flags: []string{"--proved-in", "qa"}, want: `"staging" is not an environment of`, exit: release.ExitInput},
		"another proof":                {fakes: &fakes{verdict: release.Pass}, flags: []string{"--proved-in", "prod"}, want: `which is "qa"`, exit: release.ExitInput},
	} {
		for _, more := range [][]string{nil, {"--dry-run"}} {
			test.fakes.policy, test.fakes.done = rules(nil), nil
			switch {
			case test.free:
				test.fakes.policy.Ladder = test.fakes.policy.Ladder[:1]
			case test.first:
				test.fakes.policy.Ladder = []policy.Rung{{Environment: "staging"}}
			}
			result, _, err := test.fakes.run(t, append(slices.Clone(test.flags), more...)...)
			if test.want == "" {
				if err != nil {
					t.Errorf("%s %v: got %v", name, more, err)
				}
				continue
			}
			if release.ExitCode(err) != test.exit || !strings.Contains(err.Error(), test.want) || len(test.fakes.done) > 0 {
				t.Errorf("%s %v: got %d: %v after %v, want %q", name, more, release.ExitCode(err), err, test.fakes.done, test.want)
			}
			if test.exit == release.ExitFailed && (len(result.Gates) != 1 || result.Gates[0].Opens) {
				t.Errorf("%s: the result has the gates %+v", name, result.Gates)
			}
		}
	}
}

// TestOverride: what is missing is passed over by those who may, with a statement that is recorded before anything changes; a rejection is not.
func TestOverride(t *testing.T) {
	t.Parallel()
	noKey := &release.Refusal{Why: "an override must be signed"}
	for name, test := range map[string]struct {
		fakes *fakes
		actor string
		want  string // "": deployed
		rungs func(*policy.Rung)
	}{
		"by somebody who may":     {fakes: &fakes{}, actor: "octocat"},
		"by somebody else":        {fakes: &fakes{}, actor: "mallory", want: `"mallory" may not override`},
		"without a key":           {fakes: &fakes{mayOverride: noKey}, actor: "octocat", want: "must be signed"},
		"of a rejection":          {fakes: &fakes{verdict: release.Pass, against: []policy.Rejection{{Reason: "CVE-1"}}}, actor: "octocat", want: "a rejection cannot be overridden"},
		"that nobody may":         {fakes: &fakes{}, actor: "octocat", rungs: func(r *policy.Rung) { r.Override = policy.Override{} }, want: "lets nobody override"},
		"that cannot be recorded": {fakes: &fakes{overrideErr: errors.New("the registry is away")}, actor: "octocat", want: "the registry is away"},
	} {
		test.fakes.policy, test.fakes.actor = rules(test.rungs), test.actor
		result, lines, err := test.fakes.run(t, "--override-reason", "staging is down, agreed with the owner")
		first := slices.IndexFunc(test.fakes.done, func(s string) bool { return strings.HasPrefix(s, "override") })
		switch {
		case test.want == "":
			applied := slices.IndexFunc(test.fakes.done, func(s string) bool { return strings.HasPrefix(s, "deploy") || strings.HasPrefix(s, "apply") })
			if err != nil || first < 0 || applied >= 0 && applied < first {
				t.Errorf("%s: got %v after %v", name, err, test.fakes.done)
			}
			if len(result.Gates) != 1 || result.Gates[0].Overridden == nil || result.Gates[0].Overridden.Record.IsZero() || !strings.Contains(lines, "OVERRIDDEN by octocat") {
				t.Errorf("%s: got %+v and\n%s", name, result.Gates, lines)
			}
		case err == nil || !strings.Contains(err.Error(), test.want) || first >= 0 && test.fakes.overrideErr == nil:
			t.Errorf("%s: got %v after %v, want %q", name, err, test.fakes.done, test.want)
		}
	}
}

// TestARejectionWhileTheLeaseIsAwaited: the rules are asked again once the Lease is held, before an override is recorded.
func TestARejectionWhileTheLeaseIsAwaited(t *testing.T) {
	t.Parallel()
	for name, fakes := range map[string]*fakes{"proved": {verdict: release.Pass}, "overridden": {actor: "octocat"}} {
		fakes.policy = rules(nil)
		fakes.onLease = func() { fakes.against = []policy.Rejection{{Reason: "CVE-1"}} }
		var flags []string
		if fakes.actor != "" {
			flags = []string{"--override-reason", "staging is down, agreed with the owner"}
		}
		result, _, err := fakes.run(t, flags...)
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "was rejected") || !slices.Equal(fakes.done, []string{"acquire Lease", "release Lease"}) {
			t.Errorf("%s: got %v after %v", name, err, fakes.done)
		}
		if len(result.Gates) != 1 || result.Gates[0].Opens {
			t.Errorf("%s: the result has the gates %+v", name, result.Gates)
		}
	}
}
