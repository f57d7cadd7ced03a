package release_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestIdentityIsReadAsWritten(t *testing.T) {
	t.Parallel()
	for _, identity := range []release.Identity{
		{Issuer: release.GitHubIssuer, Subject: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main", Repository: "https://github.com/octo/shop", Ref: "refs/heads/main"},
		{Issuer: "https://accounts.example.com", Subject: "of@example.com"},
		{Issuer: "https://accounts.example.com", Subject: "in", Ref: "at"},
	} {
		if err := identity.Check(); err != nil {
			t.Errorf("%+v: %v", identity, err)
		}
		if read, ok := release.ParseIdentity(identity.String()); !ok || read != identity {
			t.Errorf("%q is read as %+v, %v", identity, read, ok)
		}
	}
}

// TestIdentityIsOneText: no two identities have the same text, so none passes for another.
func TestIdentityIsOneText(t *testing.T) {
	t.Parallel()
	for name, identity := range map[string]release.Identity{
		"no issuer":      {Subject: "a"},
		"no subject":     {Issuer: "https://a"},
		"words":          {Issuer: "https://a", Subject: "b of https://c"},
		"line":           {Issuer: "https://a", Subject: "b\nc"},
		"control":        {Issuer: "https://a", Subject: "b\x1b[2J"},
		"too long":       {Issuer: "https://a", Subject: strings.Repeat("a", 2049)},
		"ref with space": {Issuer: "https://a", Subject: "b", Ref: "c in d"},
	} {
		if err := identity.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range []string{"", "abc=", "a of b in c in d", "a in c of b", "a of b by c", "a of b ", "a  of b"} {
		if read, ok := release.ParseIdentity(text); ok {
			t.Errorf("%q is read as %+v", text, read)
		}
	}
}
