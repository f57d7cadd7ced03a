package policy_test

import (
	"testing"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// TestIdentitiesMatchExactly: each part that a signer names must be the certificate's, and a regular expression matches the whole subject.
func TestIdentitiesMatchExactly(t *testing.T) {
	t.Parallel()
	const workflow = "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main"
	genuine := release.Identity{Issuer: release.GitHubIssuer, Subject: workflow, Repository: "https://github.com/octo/shop", Ref: "refs/heads/main"}
	with := func(change func(*release.Identity)) release.Identity {
		changed := genuine
		change(&changed)
		return changed
	}
	exact := policy.Signer{Issuer: release.GitHubIssuer, Identity: workflow, Repository: "https://github.com/octo/shop", Ref: "refs/heads/main"}
	pattern := policy.Signer{Issuer: release.GitHubIssuer, IdentityRegexp: `https://github\.com/octo/shop/.*@refs/heads/main|x`, Repository: "https://github.com/octo/shop"}
	for name, c := range map[string]struct {
		signer   policy.Signer
		identity release.Identity
		want     bool
	}{
		"the workflow":               {exact, genuine, true},
		"by a regular expression":    {pattern, genuine, true},
		"another issuer":             {exact, with(func(i *release.Identity) { i.Issuer = "https://token.example.com" }), false},
		"another workflow":           {exact, with(func(i *release.Identity) { i.Subject += "2" }), false},
		"called by another":          {exact, with(func(i *release.Identity) { i.Repository = "https://github.com/mallory/shop" }), false},
		"another branch":             {exact, with(func(i *release.Identity) { i.Ref = "refs/pull/1/merge" }), false},
		"no repository":              {pattern, with(func(i *release.Identity) { i.Repository = "" }), false},
		"a longer subject":           {pattern, with(func(i *release.Identity) { i.Subject += "-evil" }), false},
		"a subject before":           {pattern, with(func(i *release.Identity) { i.Subject = "https://evil.example/" + i.Subject }), false},
		"a key":                      {policy.Signer{Key: "a.pub"}, genuine, false},
		"nobody":                     {policy.Signer{}, genuine, false},
		"an expression that is none": {policy.Signer{Issuer: release.GitHubIssuer, IdentityRegexp: "("}, genuine, false},
	} {
		if got := c.signer.Matches(c.identity); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
		if name, counts := (policy.Trust{}).By([]policy.Signer{c.signer}, c.identity.String()); counts != c.want || counts && name != c.identity.String() {
			t.Errorf("%s: signed by %q, %t", name, name, counts)
		}
	}
	if _, counts := (policy.Trust{exact: {"key"}}).By([]policy.Signer{exact}, ""); counts {
		t.Error("a record that nobody signed counts")
	}
}
