package policyfile

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const whole = `version: 1
environments:
  - name: staging
    signers: [keys/staging.pub, "env://OLD_KEY"]
  - name: production
    signers: ["awskms:///alias/production"]
    requires:
      built: {signers: [keys/build.pub]}
      deployed: {in: staging, max-age: 336h}
      smoked:
        max-age: 336h
        soak: 30m
        checks: 2
        check-names: [home, login]
        check-digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
      listed: {signers: [keys/build.pub]}
      scanned: {signers: [keys/scan.pub], scanner: Trivy, max-age: 48h, max-severity: high}
      chart-of-commit: true
    override:
      actors: [Octocat]
      signers: [keys/override.pub]
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(".onedigest.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := release.ParseDigest("sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Policy{Source: policy.Source{File: ".onedigest.yaml", Digest: release.DigestOf([]byte(whole))}, Ladder: []policy.Rung{
		{Environment: "staging", Signers: []policy.Signer{{Key: "keys/staging.pub"}, {Key: "env://OLD_KEY"}}, Requires: policy.Requirements{NotRejected: true}},
		{Environment: "production", Signers: []policy.Signer{{Key: "awskms:///alias/production"}},
			Requires: policy.Requirements{
				Built: &policy.Built{Signers: []policy.Signer{{Key: "keys/build.pub"}}}, Deployed: &policy.Deployed{In: "staging", MaxAge: 336 * time.Hour},
				Smoked:      &policy.Smoked{In: "staging", MaxAge: 336 * time.Hour, Soak: 30 * time.Minute, Checks: 2, CheckNames: []string{"home", "login"}, CheckDigest: digest},
				Listed:      &policy.Listed{Signers: []policy.Signer{{Key: "keys/build.pub"}}},
				Scanned:     &policy.Scanned{Signers: []policy.Signer{{Key: "keys/scan.pub"}}, Scanner: "Trivy", MaxAge: 48 * time.Hour, MaxSeverity: fact.High},
				NotRejected: true, ChartOfCommit: true,
			},
			Override: policy.Override{Actors: []string{"octocat"}, Signers: []policy.Signer{{Key: "keys/override.pub"}}}},
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAnEnvironmentRequiresTheOneBeforeIt: a ladder alone is safe.
func TestAnEnvironmentRequiresTheOneBeforeIt(t *testing.T) {
	t.Parallel()
	got, err := Parse("p.yaml", []byte("version: 1\nenvironments:\n- name: qa\n- name: staging\n- name: live\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, before := range map[release.Environment]release.Environment{"staging": "qa", "live": "staging"} {
		rung, found := got.Rung(name)
		if !found || rung.Requires.Smoked == nil || rung.Requires.Smoked.In != before || !rung.Requires.NotRejected {
			t.Errorf("%s: got %+v", name, rung)
		}
	}
	for requires, want := range map[string]bool{"chart-of-commit: true": true, "not-rejected: false": true, "": true, "smoked: {}": true, "scanned: {}": true, "listed: {}": true, "deployed: {}": false, "built: {}": false} {
		got, err := Parse("p.yaml", []byte(head+"  requires: {"+requires+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if rung, _ := got.Rung("production"); (rung.Requires.Smoked != nil) != want || want && rung.Requires.Smoked.In != "staging" {
			t.Errorf("requires %s: got %+v", requires, rung)
		}
	}
	if rung, _ := got.Rung("qa"); rung.Requires.Smoked != nil || !rung.Requires.NotRejected {
		t.Errorf("qa: got %+v", rung)
	}
}

// TestKeylessSigners: the repository of a workflow's own identity is asked for too, because others may call the workflow.
func TestKeylessSigners(t *testing.T) {
	t.Parallel()
	const keyless = `
trusted-root: sigstore/trusted_root.json
version: 1
environments:
- name: staging
  signers:
  - keyless: {identity: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main"}
  - keyless: {identity-regexp: 'https://github\.com/octo/shared/\.github/workflows/build\.yml@refs/tags/v.*', repository: https://github.com/octo/shop, ref: refs/heads/main}
  - keyless: {identity: "https://github.com/octo/shared/.github/workflows/test.yml@refs/tags/v1", repository: https://github.com/octo/shop, ref: any}
  - keyless: {issuer: https://token.actions.githubusercontent.com/octo, identity: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main"}
  - keyless: {issuer: https://accounts.example.com, identity: release@example.com}
  - keys/staging.pub
`
	got, err := Parse("p.yaml", []byte(keyless))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Signer{
		{Issuer: release.GitHubIssuer, Identity: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main", Repository: "https://github.com/octo/shop"},
		{Issuer: release.GitHubIssuer, IdentityRegexp: `https://github\.com/octo/shared/\.github/workflows/build\.yml@refs/tags/v.*`, Repository: "https://github.com/octo/shop", Ref: "refs/heads/main"},
		{Issuer: release.GitHubIssuer, Identity: "https://github.com/octo/shared/.github/workflows/test.yml@refs/tags/v1", Repository: "https://github.com/octo/shop"},
		{Issuer: release.GitHubIssuer + "/octo", Identity: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main", Repository: "https://github.com/octo/shop"},
		{Issuer: "https://accounts.example.com", Identity: "release@example.com"},
		{Key: "keys/staging.pub"},
	}
	if diff := cmp.Diff(want, got.Ladder[0].Signers); diff != "" || got.TrustedRoot != "sigstore/trusted_root.json" {
		t.Errorf("trusted root %q; -want +got:\n%s", got.TrustedRoot, diff)
	}
	var value any
	if err := yaml.Unmarshal([]byte(keyless), &value); err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(value); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}

// TestBeside: an environment beside the ladder is asked for nothing, and no other one for a pass of it.
func TestBeside(t *testing.T) {
	t.Parallel()
	got, err := Parse("p.yaml", []byte("version: 1\nenvironments:\n- {name: preview, beside: true}\n- {name: staging, signers: [a.pub]}\n- {name: load, beside: true}\n- name: production\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(release.PromotionOrder{"staging", "production"}, got.Order()); diff != "" {
		t.Errorf("the ladder (-want +got):\n%s", diff)
	}
	for i, want := range []release.Environment{"", "", "", "staging"} {
		smoked := got.Ladder[i].Requires.Smoked
		if (smoked != nil) != (want != "") || smoked != nil && smoked.In != want {
			t.Errorf("%s asks for %+v, want a pass of %q", got.Ladder[i].Environment, smoked, want)
		}
	}
}

// head begins a policy whose second environment is production: what follows has its keys.
const head = "version: 1\nenvironments:\n- name: staging\n- name: production\n"

// refused are policies that are refused: what each lacks, and the place and words of the message.
var refused = map[string]struct{ content, want string }{
	"nothing":                       {"", "p.yaml: is empty"},
	"no YAML":                       {"version: [", "p.yaml:1: is not YAML"},
	"two documents":                 {head + "---\nversion: 1\n", "p.yaml:5: a second YAML document"},
	"a list":                        {"- version: 1\n", "p.yaml:1: the policy must be a mapping"},
	"no version":                    {"environments:\n- name: staging\n", "p.yaml:1: the policy has no version"},
	"another version":               {"version: 2\nenvironments:\n- name: staging\n", "p.yaml:1: version must be a number from 1 to 1"},
	"an unknown key":                {head + "  require: {}\n", `p.yaml:5: an environment has no key "require"; it has beside, name, override, requires, signers`},
	"an unknown key of requires":    {head + "  requires: {smoke: {}}\n", `requires has no key "smoke"`},
	"a key twice":                   {head + "  requires: {}\n  requires: {}\n", `p.yaml:6: key "requires" is repeated; its first value is at line 5`},
	"a key twice, deep":             {head + "  requires:\n    smoked:\n      soak: 1h\n      soak: 2h\n", `p.yaml:8: key "soak" is repeated`},
	"an anchor":                     {head + "  requires: &a {}\n", "p.yaml:5: anchors and aliases"},
	"an alias":                      {"version: 1\nenvironments:\n- &a {name: staging}\n- *a\n", "anchors and aliases"},
	"a merge key":                   {head + "  <<: {requires: {}}\n", `an environment has no key "<<"`},
	"a tag":                         {head + "  requires: !!map {}\n", "tag"},
	"no name":                       {"version: 1\nenvironments:\n- requires: {}\n", "p.yaml:3: an environment has no name"},
	"a name that is no label":       {"version: 1\nenvironments:\n- name: Staging\n", "p.yaml:3: name: \"Staging\" is not a DNS label"},
	"the build's name":              {"version: 1\nenvironments:\n- name: build\n", "p.yaml:3: name: no environment can be named \"build\": the variable AWS_ROLE_BUILD is the role of the build itself; choose another name"},
	"the plan's name":               {"version: 1\nenvironments:\n- name: plan\n", "AWS_ROLE_PLAN"},
	"a pass for one that is beside": {head + "- name: preview\n  beside: true\n  requires: {smoked: {in: staging}}\n", `"staging" does not come before`},
	"a pass of one that is beside":  {"version: 1\nenvironments:\n- {name: preview, beside: true}\n- name: staging\n- name: production\n  requires: {smoked: {in: preview}}\n", `"preview" does not come before`},
	"a name twice":                  {head + "- name: staging\n", `p.yaml:5: environment "staging" is listed twice`},
	"a fact of a later one":         {"version: 1\nenvironments:\n- name: a\n- name: b\n  requires: {smoked: {in: c}}\n- name: c\n", `p.yaml:5: "c" does not come before`},
	"a fact of itself":              {head + "  requires: {smoked: {in: production}}\n", `"production" does not come before`},
	"a fact that no rung has":       {"version: 1\nenvironments:\n- name: production\n  requires: {smoked: {in: staging}}\n", `p.yaml:4: "staging" does not come before`},
	"a fact of the only one":        {"version: 1\nenvironments:\n- name: production\n  requires: {smoked: {in: production}}\n", `"production" does not come before`},
	"a deploy that no rung has":     {"version: 1\nenvironments:\n- name: production\n  requires: {deployed: {in: staging}}\n", `"staging" does not come before`},
	"a pass that nobody signs":      {head + "  signers: [a.pub]\n", `p.yaml:4: "production" requires what smoke recorded in "staging", which names no signers`},
	"a deploy that nobody signs":    {head + "  signers: [a.pub]\n  requires: {deployed: {}}\n", `p.yaml:6: "production" requires what deploy recorded in "staging", which names no signers`},
	"a build that nobody signs":     {"version: 1\nenvironments:\n- name: staging\n  signers: [a.pub]\n- name: production\n  requires: {built: {}}\n", `p.yaml:6: "production" requires built, which names no signers`},
	"a pass beside a signed build":  {head + "  requires: {built: {signers: [a.pub]}, smoked: {}}\n", `"staging", which names no signers`},
	"a fact of nothing":             {"version: 1\nenvironments:\n- name: a\n  requires: {smoked: {}}\n", "p.yaml:4: smoked is required by the first environment"},
	"an age that nothing can have":  {head + "  requires: {smoked: {max-age: 1h}}\n", "max-age is 1 hour, not 7 days to"},
	"an age without a unit":         {head + "  requires: {smoked: {max-age: '7'}}\n", "p.yaml:5: max-age:"},
	"an age as a number":            {head + "  requires: {smoked: {max-age: 7}}\n", `p.yaml:5: max-age must be text, not "7"; put it in quotes`},
	"a soak beyond the age":         {head + "  requires: {smoked: {max-age: 168h, soak: 200h}}\n", "no pass is at least 8 days 8 hours and at most 7 days old"},
	"a scan that nobody signs":      {"version: 1\nenvironments:\n- name: staging\n  signers: [a.pub]\n- name: production\n  requires: {scanned: {}}\n", `p.yaml:6: "production" requires scanned, which names no signers`},
	"a pass beside a signed scan":   {head + "  requires: {scanned: {signers: [a.pub]}}\n", `"staging", which names no signers`},
	"an SBOM that nobody signs":     {"version: 1\nenvironments:\n- name: staging\n  signers: [a.pub]\n- name: production\n  requires: {listed: {}}\n", `p.yaml:6: "production" requires listed, which names no signers`},
	"an SBOM of an age":             {head + "  requires: {listed: {max-age: 1h}}\n", "max-age"},
	"a severity of its own":         {head + "  requires: {scanned: {max-severity: severe}}\n", `max-severity: "severe" is none of [none info low medium high critical]`},
	"a scan of the hour":            {head + "  requires: {scanned: {max-age: 1h}}\n", "max-age is 1 hour, not 24 hours to"},
	"a scan of anything":            {head + "  requires: {scanned: {accept-unstated: [all]}}\n", `"all" is none of [time image platforms]`},
	"a scanner without a name":      {head + "  requires: {scanned: {scanner: ''}}\n", "scanner: is empty"},
	"checks as text":                {head + "  requires: {smoked: {checks: '3'}}\n", "checks must be a number from 1 to 1000"},
	"no checks":                     {head + "  requires: {smoked: {checks: 0}}\n", "checks must be a number"},
	"a digest that is none":         {head + "  requires: {smoked: {check-digest: sha256:abc}}\n", "check-digest:"},
	"yes for true":                  {head + "  requires: {chart-of-commit: 'true'}\n", `chart-of-commit must be true or false, not "true"`},
	"no signers":                    {head + "  signers: []\n", "signers has 0 entries"},
	"a signer twice":                {head + "  signers: [a.pub, a.pub]\n", `signers has "a.pub" twice`},
	"a key that is none":            {head + "  signers: ['gcpkms://x']\n", `"gcpkms://x" is not one of a file`},
	"a signer of another form":      {head + "  signers: [{issuer: 'https://token.example', subject: x}]\n", `p.yaml:5: a signer has no key "issuer"`},
	"an empty signer":               {head + "  signers: [{}]\n", "p.yaml:5: a signer is FILE"},
	"keyless as a key":              {head + "  signers: [keyless]\n", `"keyless" is not a public key`},
	"keyless by nobody":             {head + "  signers: [keyless: {}]\n", "p.yaml:5: keyless needs either identity or identity-regexp"},
	"keyless by two":                {head + "  signers: [keyless: {identity: a, identity-regexp: b, repository: 'https://c'}]\n", "needs either identity or identity-regexp"},
	"keyless of any repository":     {head + "  signers: [keyless: {identity-regexp: 'https://github\\.com/octo/.*'}]\n", "any repository may call the workflow"},
	"keyless of any branch":         {head + "  signers: [keyless: {identity: 'https://github.com/octo/shared/.github/workflows/build.yml@refs/tags/v1', repository: 'https://github.com/octo/shop'}]\n", "any branch of"},
	"keyless of any, by pattern":    {head + "  signers: [keyless: {identity-regexp: 'https://github\\.com/octo/shop/.*', repository: 'https://github.com/octo/shop'}]\n", "no ref is named"},
	"keyless of an enterprise":      {head + "  signers: [keyless: {issuer: 'https://token.actions.githubusercontent.com/octo', identity-regexp: 'https://github\\.com/octo/.*'}]\n", "any repository may call the workflow"},
	"keyless of two environments":   {"version: 1\nenvironments:\n- name: staging\n  signers: [keyless: {issuer: 'https://i.example', identity: a}]\n- name: production\n  signers: [keyless: {issuer: 'https://i.example', identity: a}]\n", `p.yaml:5: "staging" and "production" have the same signer without a key`},
	"keyless of no workflow":        {head + "  signers: [keyless: {identity: 'https://github.com/octo/shop'}]\n", "any repository may call the workflow"},
	"keyless by everybody":          {head + "  signers: [keyless: {identity-regexp: '.*', repository: 'https://github.com/octo/shop'}]\n", "also matches the empty string"},
	"keyless by no expression":      {head + "  signers: [keyless: {identity-regexp: '(', repository: 'https://github.com/octo/shop'}]\n", "is not a regular expression"},
	"keyless by an http issuer":     {head + "  signers: [keyless: {issuer: 'http://token.example', identity: a}]\n", "is not an https address"},
	"keyless by two words":          {head + "  signers: [keyless: {issuer: 'https://token.example', identity: 'a of b'}]\n", "is not one word"},
	"a trusted root that is none":   {"trusted-root: ''\n" + head, "trusted-root: is empty"},
	"an override by nobody":         {head + "  override: {signers: [a.pub]}\n", "p.yaml:5: an override needs somebody who may, and a key that signs it"},
	"an override without a key":     {head + "  override: {actors: [a]}\n", "an override needs"},
	"a team":                        {head + "  override: {actors: [acme/release], signers: [a.pub]}\n", "teams are not supported"},
	"a line break in a name":        {head + "  override: {actors: [\"a\\nb\"], signers: [a.pub]}\n", "not printable"},
	"a scan":                        {head + "  requires: {scan: {}}\n", `requires has no key "scan"`},
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range refused {
		_, err := Parse("p.yaml", []byte(test.content))
		var input *release.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	_, err := Parse("p.yaml", []byte(head+"  requires: {smoke: {}}\n  override: {}\n- name: staging\n"))
	if got := strings.Count(err.Error(), "\n"); got != 2 {
		t.Errorf("got %d problems, want all three at once: %v", got+1, err)
	}
	if _, err := Parse("p.yaml", bytes.Repeat([]byte(" "), MaxBytes+1)); err == nil || !strings.Contains(err.Error(), "limit 65536") {
		t.Errorf("a huge file: got %v", err)
	}
}

// TestAScanHasSaneRules: without keys, a week and medium.
func TestAScanHasSaneRules(t *testing.T) {
	t.Parallel()
	got, err := Parse("p.yaml", []byte(head+"  requires: {scanned: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rung, _ := got.Rung("production")
	if diff := cmp.Diff(&policy.Scanned{MaxAge: 168 * time.Hour, MaxSeverity: fact.Medium}, rung.Requires.Scanned); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	content, err := os.ReadFile("../../../docs/schemas/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("policy.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// beyondSchema are refused by the parser for what a schema cannot say.
var beyondSchema = map[string]bool{
	"two documents": true, "a pass for one that is beside": true, "a pass of one that is beside": true, "an alias": true, "an anchor": true, "a tag": true, "a name twice": true, "a fact of a later one": true, "a fact of itself": true,
	"a fact of nothing": true, "a fact that no rung has": true, "a fact of the only one": true, "a deploy that no rung has": true, "a pass that nobody signs": true,
	"a deploy that nobody signs": true, "a build that nobody signs": true, "a pass beside a signed build": true, "a scan that nobody signs": true, "an SBOM that nobody signs": true, "a pass beside a signed scan": true, "a scan of the hour": true, "an age that nothing can have": true, "a soak beyond the age": true, "a signer twice": true, "a key that is none": true,
	"keyless as a key": true, "keyless by two": true, "keyless of any repository": true, "keyless of any branch": true, "keyless of any, by pattern": true, "keyless of an enterprise": true, "keyless of two environments": true, "keyless of no workflow": true, "keyless by everybody": true, "keyless by no expression": true, "keyless by two words": true,
	"keyless by nobody": true, "a key twice": true, "a key twice, deep": true, "no YAML": true, "nothing": true, "a merge key": true,
}

// TestTheSchemaAgrees: an editor that has the schema accepts what is accepted, and refuses what a schema can refuse.
func TestTheSchemaAgrees(t *testing.T) {
	t.Parallel()
	compiled := schema(t)
	validate := func(content string) error {
		var value any
		if err := yaml.Unmarshal([]byte(content), &value); err != nil {
			return err
		}
		return compiled.Validate(value)
	}
	for _, accepted := range []string{whole, head} {
		if err := validate(accepted); err != nil {
			t.Errorf("%s\n%v", accepted, err)
		}
	}
	for name, test := range refused {
		if err := validate(test.content); err == nil && !beyondSchema[name] {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

// FuzzParse: no file makes the parser panic, what it accepts satisfies the schema, and every problem has a place.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for _, each := range refused {
		f.Add([]byte(each.content))
	}
	compiled := schema(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := Parse("p.yaml", content)
		var input *release.InputError
		switch {
		case errors.As(err, &input):
			for _, problem := range input.Problems {
				if !strings.HasPrefix(problem.Where, "p.yaml") || strings.ContainsAny(problem.What, "\n\r\x1b") {
					t.Errorf("got %q", problem)
				}
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(content, &value); err != nil {
			t.Fatalf("accepted: %v", err)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("accepted %q: %v", content, err)
		}
		for i, rung := range got.Ladder {
			if smoked := rung.Requires.Smoked; smoked != nil && (i == 0 || smoked.In == "" || smoked.In == rung.Environment) {
				t.Errorf("accepted %q: %+v", content, rung)
			}
		}
	})
}
