package evidence

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

var update = flag.Bool("update", false, "write the golden files")

func digest(t testing.TB) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func proof(t testing.TB) release.Evidence {
	t.Helper()
	return release.Evidence{
		Image:       release.Image{Repository: "registry.example/shop", Digest: digest(t)},
		Commit:      release.Commit(strings.Repeat("c0", 20)),
		Environment: "staging",
		Target:      release.Target{Cluster: "shop-staging", Server: "1234.gr7.eu-central-1.eks.amazonaws.com", Namespace: "staging", Release: "shop"},
		Verdict:     release.Pass,
		Checks:      []string{"home", "configs"},
		Rounds:      3,
		Pods:        []string{"shop-7d4b9-x2x", "shop-7d4b9-z9z"},
		URL:         "http://127.0.0.1:8080",
		Run:         "https://github.com/example/shop/actions/runs/1",
		At:          time.Date(2026, 11, 23, 2, 34, 56, 789_000_000, time.UTC),
		CheckSet:    release.CheckSet([]release.Check{{Name: "home", Path: "/"}, {Name: "configs", Path: "/configs"}}),
		After:       []release.Digest{digest(t)},
	}
}

func TestEncodeGolden(t *testing.T) {
	t.Parallel()
	failed := proof(t)
	failed.Verdict, failed.Commit, failed.Run, failed.Pods = release.Fail, "", "", nil
	failed.CheckSet, failed.After, failed.Target = release.Digest{}, nil, release.Target{} // as records of older versions
	for name, evidence := range map[string]release.Evidence{"pass": proof(t), "fail": failed} {
		text, err := Encode(evidence)
		if err != nil {
			t.Fatal(err)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, append(text, '\n'), "", "  "); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(file, pretty.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, verdict := range []release.Verdict{release.Pass, release.Fail, release.Inconclusive} {
		want := proof(t)
		if want.Verdict = verdict; verdict == release.Fail {
			want.Failed = []string{"configs"}
		}
		text, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verdict, diff)
		}
		proves := got.Proves(want.Image, "staging", want.At, time.Hour)
		if (proves == nil) != (verdict == release.Pass) {
			t.Errorf("verdict %q proves: %v", verdict, proves)
		}
	}
}

// Every reader of the predicate, not only ours, must see that a failed or inconclusive run did not pass.
func TestResultForOtherReaders(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[release.Verdict]string{release.Pass: "PASSED", release.Fail: "FAILED", release.Inconclusive: "FAILED"} {
		evidence := proof(t)
		evidence.Verdict = verdict
		text, err := Encode(evidence)
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Subject   []struct{ Digest map[string]string }
			Predicate struct {
				Result      string
				PassedTests []string
			}
		}
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if read.Predicate.Result != want {
			t.Errorf("%s: result %q, want %q", verdict, read.Predicate.Result, want)
		}
		if verdict != release.Pass && len(read.Predicate.PassedTests) > 0 {
			t.Errorf("%s: it names passed tests %q", verdict, read.Predicate.PassedTests)
		}
		if len(read.Subject) != 1 || "sha256:"+read.Subject[0].Digest["sha256"] != digest(t).String() {
			t.Errorf("%s: subject is %v", verdict, read.Subject)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*release.Evidence){
		"no digest":            func(e *release.Evidence) { e.Image.Digest = release.Digest{} },
		"no repository":        func(e *release.Evidence) { e.Image.Repository = "" },
		"short commit":         func(e *release.Evidence) { e.Commit = "c0ffee" },
		"no environment":       func(e *release.Evidence) { e.Environment = "" },
		"unknown verdict":      func(e *release.Evidence) { e.Verdict = "passed" },
		"negative rounds":      func(e *release.Evidence) { e.Rounds = -1 },
		"no time":              func(e *release.Evidence) { e.At = time.Time{} },
		"a year past RFC 3339": func(e *release.Evidence) { e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"control character":    func(e *release.Evidence) { e.Pods = []string{"a\nb"} },
		"bidi control":         func(e *release.Evidence) { e.URL = "https://a/\u202egnp.exe" },
		"zero-width space":     func(e *release.Evidence) { e.Checks = []string{"a\u200bb"} },
		"not UTF-8":            func(e *release.Evidence) { e.Checks = []string{"\xff"} },
		"a pass with failures": func(e *release.Evidence) { e.Failed = []string{"home"} },
		"endless list of them": func(e *release.Evidence) { e.Verdict, e.Failed = release.Fail, make([]string, maxList+1) },
		"endless string":       func(e *release.Evidence) { e.URL = strings.Repeat("a", maxString+1) },
		"endless list":         func(e *release.Evidence) { e.Pods = make([]string, maxList+1) },
		"too large in all": func(e *release.Evidence) {
			for range maxList {
				e.Pods = append(e.Pods, strings.Repeat("a", 300))
			}
		},
	} {
		evidence := proof(t)
		change(&evidence)
		if _, err := Encode(evidence); err == nil {
			t.Errorf("%s: encoded", name)
		} else if !strings.HasPrefix(err.Error(), "writing evidence: ") {
			t.Errorf("%s: %v does not say what failed", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	encoded, err := Encode(proof(t))
	if err != nil {
		t.Fatal(err)
	}
	good := string(encoded)
	replaced := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	tests := map[string]struct{ text, says string }{
		"empty":                            {"", "unexpected EOF"},
		"not JSON":                         {"PASSED", "invalid character"},
		"cut off":                          {good[:len(good)/2], "unexpected"},
		"null":                             {"null", "is not https://in-toto.io/Statement/v1"},
		"list":                             {"[]", "cannot unmarshal"},
		"other statement":                  {replaced("in-toto.io/Statement/v1", "in-toto.io/Statement/v2"), "is not https://in-toto.io/Statement/v1"},
		"other predicate":                  {replaced("test-result/v0.1", "test-result/v0.2"), "is not https://in-toto.io/attestation/test-result/v0.1"},
		"no subject":                       {`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://in-toto.io/attestation/test-result/v0.1","subject":[],"predicate":{}}`, "0 subjects"},
		"two subjects":                     {replaced(`"subject":[`, `"subject":[{"digest":{"sha256":"`+strings.Repeat("ef", 32)+`"}},`), "2 subjects"},
		"upper-case digest":                {replaced(strings.Repeat("ab", 32), strings.Repeat("AB", 32)), "upper-case"},
		"short digest":                     {replaced(strings.Repeat("ab", 32), "abab"), "want 64"},
		"sha512 only":                      {replaced(`"sha256":"`+strings.Repeat("ab", 32), `"sha512":"`+strings.Repeat("ab", 64)), "want 64"},
		"no predicate":                     {replaced(`"predicate":{`, `"other":{`), "predicate.onedigest"},
		"no extension":                     {replaced(`"onedigest":`, `"elsewhere":`), "predicate.onedigest"},
		"result contradicts":               {replaced(`"result":"PASSED"`, `"result":"FAILED"`), "contradicts"},
		"verdict contradicts":              {replaced(`"verdict":"pass"`, `"verdict":"fail"`), "contradicts"},
		"no result":                        {replaced(`"result":"PASSED",`, ``), "contradicts"},
		"other passed tests":               {replaced(`"passedTests":["home"`, `"passedTests":["hope"`), "contradicts"},
		"no configuration":                 {replaced(`"configuration":[`, `"configuration":[],"was":[`), "configuration"},
		"field twice":                      {replaced(`"result":"PASSED"`, `"result":"FAILED","result":"PASSED"`), "twice"},
		"field twice by case":              {replaced(`"result":"PASSED"`, `"RESULT":"PASSED","result":"FAILED"`), "twice"},
		"field twice by fold":              {replaced(`"result":"PASSED"`, `"reſult":"PASSED","result":"FAILED"`), "twice"},
		"digest twice":                     {replaced(`"digest":{`, `"digest":{"sha256":"`+strings.Repeat("ef", 32)+`",`), "twice"},
		"something after":                  {good + "{}", "follows"},
		"garbage after":                    {good + "x", "follows"},
		"deep":                             {strings.Repeat("[", 10_000), "levels deep"},
		"too long":                         {good + strings.Repeat(" ", Limit), "limit"},
		"no such environment":              {replaced(`"environment":"staging"`, `"environment":"Staging!"`), "DNS label"},
		"rounds not a number":              {replaced(`"rounds":3`, `"rounds":"3"`), "cannot unmarshal"},
		"rounds past bounds":               {replaced(`"rounds":3`, `"rounds":3000000`), "rounds"},
		"no time":                          {replaced(`"at":"2026-11-23T02:34:56.789Z"`, `"at":"0001-01-01T00:00:00Z"`), "time"},
		"newline in a name":                {replaced(`["home"`, `["ho\nme"`), "contradicts"},
		"an earlier record without digest": {replaced(`"after":["sha256:`, `"after":["sha512:`), "algorithm"},
		"an empty target":                  {replaced(`"cluster":"shop-staging","server":"1234.gr7.eu-central-1.eks.amazonaws.com","namespace":"staging","release":"shop"`, ``), "target is empty"},
		"a target without a release":       {replaced(`"namespace":"staging","release":"shop"`, `"namespace":"staging"`), "target: "},
		"contents without a digest":        {replaced(`"check-contents","digest":{"sha256":"`, `"check-contents","digest":{"sha1":"`), "check-contents: "},
		"contents twice":                   {replaced(`"name":"checks"`, `"name":"check-contents"`), "names check-contents twice"},
		"newline in a pod":                 {replaced(`shop-7d4b9-x2x`, `x\n::set-output`), "printable"},
	}
	for name, test := range tests {
		got, err := Decode([]byte(test.text))
		switch {
		case err == nil:
			t.Errorf("%s: decoded to %+v", name, got)
		case !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: got %q, want it to say %q", name, err, test.says)
		case len(err.Error()) > 500:
			t.Errorf("%s: the error is %d bytes long", name, len(err.Error()))
		}
	}
}

// A record of an older version has no digest over the checks' contents, and names neither its target nor earlier records.
func TestDecodeOfOlderVersions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/fail.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil || !got.CheckSet.IsZero() || !got.Target.IsZero() || got.After != nil || got.Verdict != release.Fail {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The specification demands that unknown fields are ignored.
func TestDecodeIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	text, err := Encode(proof(t))
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), `"predicate":{`, `"later":[1,{"a":null}],"predicate":{"warnedTests":[],`, 1)
	got, err := Decode([]byte(more))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(proof(t), got, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzDecode: what is decoded can be encoded, and decoded again to the same.
func FuzzDecode(f *testing.F) {
	text, err := Encode(proof(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"pass"`), []byte(`"inconclusive"`), 1))
	f.Add(bytes.Replace(text, []byte(`"result"`), []byte(`"Result"`), 1))
	f.Add(bytes.Replace(text, []byte(`.789Z`), []byte(`.789+14:00`), 1))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":""}}]}`))
	f.Add([]byte(`[[[{"a":1,"A":2}]]]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := Decode(text)
		if err != nil {
			if first.Image != (release.Image{}) {
				t.Errorf("an error and the image %s", first.Image)
			}
			return
		}
		again, err := Encode(first)
		if err != nil {
			if strings.Contains(err.Error(), "limit 262144") {
				return // escapes can make the same evidence longer
			}
			t.Fatalf("decoded, but not encoded: %v", err)
		}
		second, err := Decode(again)
		if err != nil {
			t.Fatalf("encoded, but not decoded: %v\n%s", err, again)
		}
		if first.Image != second.Image || first.Verdict != second.Verdict || !first.At.Equal(second.At) ||
			!cmp.Equal(notNil(first.Checks), second.Checks) || !cmp.Equal(notNil(first.Pods), second.Pods) || first.Rounds != second.Rounds {
			t.Errorf("decoded to another:\n%+v\n%+v", first, second)
		}
	})
}
