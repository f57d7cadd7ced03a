package planfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

var update = flag.Bool("update", false, "write the golden file")

func digest(t testing.TB, c string) release.Digest {
	t.Helper()
	parsed, err := release.ParseDigest("sha256:" + strings.Repeat(c, 64))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// example is a plan with every kind of content.
func example(t testing.TB) Plan {
	t.Helper()
	object := release.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: "staging", Name: "shop"}
	return Plan{
		MadeAt: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), RunURL: "https://example.com/run/1", Actor: "a person",
		Subject: Subject{Environment: "staging", Release: "shop", Namespace: "staging", Commit: release.Commit(strings.Repeat("c", 40)),
			Images: []Image{{Reference: "localhost:5000/team/shop@" + digest(t, "a").String()}, {Name: "worker", Reference: "localhost:5000/team/worker@" + digest(t, "b").String()}},
			Chart:  "charts/service", ChartDigest: digest(t, "c"), ApplyCRDs: true},
		Shown: release.Plan{Outcome: release.Changed, Notes: []string{"a <note> & more"}, Changes: []release.Change{{Object: object, Action: release.ActionChange,
			Fields: []release.FieldChange{{Path: "data.A", Before: `"1"`, After: `"2"`}}}}},
		Against: Against{Server: "https://cluster.example.com", Namespace: "uid", Revision: 6, Status: "deployed", Varies: []string{"Secret/shop data.password"}, Salt: "00",
			Objects: []release.PlannedObject{{Object: object, Rendered: digest(t, "1"), Live: digest(t, "2")}, {Object: object, Hook: true, Rendered: digest(t, "1")}},
			Values:  "aa", Rendered: "bb", Live: "cc"},
	}
}

func keep(text string) string { return text }

func TestEncodeAndDecode(t *testing.T) {
	t.Parallel()
	want := example(t)
	file, sum, err := Encode(want, keep)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"as it is":   func(file []byte) []byte { return file },
		"compact":    func(file []byte) []byte { var b bytes.Buffer; _ = json.Compact(&b, file); return b.Bytes() },
		"with CRLF":  func(file []byte) []byte { return bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")) },
		"more space": func(file []byte) []byte { return append([]byte(" \n"), append(file, '\n', ' ')...) },
	} {
		got, gotSum, err := Decode(change(bytes.Clone(file)))
		if err != nil || gotSum != sum {
			t.Errorf("%s: got %s, %v, want %s", name, gotSum, err, sum)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(release.Digest{})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestEncodeRedactsWhatIsShown(t *testing.T) {
	t.Parallel()
	plan := example(t)
	plan.Shown.Changes[0].Fields[0].After = `"hunter2"`
	file, _, err := Encode(plan, func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") })
	if err != nil || bytes.Contains(file, []byte("hunter2")) {
		t.Errorf("got %v:\n%s", err, file)
	}
	if _, _, err := Decode(file); err != nil {
		t.Error(err)
	}
}

// sealed returns a file with some content and the digest of it, as somebody would forge it.
func sealed(content string) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(content)) != nil {
		compact.WriteString(content)
	}
	file, _ := json.Marshal(envelope{Format: Format, Digest: release.DigestOf(compact.Bytes()), Plan: json.RawMessage(compact.Bytes())})
	return file
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	file, _, err := Encode(example(t), keep)
	if err != nil {
		t.Fatal(err)
	}
	var kept envelope
	if err := json.Unmarshal(file, &kept); err != nil {
		t.Fatal(err)
	}
	content := string(kept.Plan)
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":             {nil, "it is not a plan"},
		"no JSON":             {[]byte("plan"), "it is not a plan"},
		"a list":              {[]byte("[]"), "it is not a plan"},
		"a later format":      {[]byte(`{"format": "onedigest.dev/plan/v2", "content": {}}`), `its format is "onedigest.dev/plan/v2"`},
		"cut off":             {file[:len(file)/2], "it is not a plan"},
		"something after it":  {append(bytes.Clone(file), "{}"...), "something follows"},
		"another release":     {bytes.Replace(file, []byte(`"release": "shop"`), []byte(`"release": "ship"`), 1), "was changed after it was made"},
		"a field too many":    {sealed(strings.Replace(content, `{`, `{"approved":true,`, 1)), "unknown field"},
		"a key twice":         {sealed(strings.Replace(content, `"subject"`, `"actor":"another person","subject"`, 1)), "a key is there twice"},
		"a key in other case": {sealed(strings.Replace(content, `"actor"`, `"Actor"`, 1)), "a value is written differently"},
		"no digest":           {sealed(strings.Replace(content, digest(t, "1").String(), "sha256:1", 1)), "hex digits"},
		"too large":           {bytes.Repeat([]byte(" "), MaxBytes+1), "limit"},
	} {
		if _, _, err := Decode(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestCheckAge(t *testing.T) {
	t.Parallel()
	plan := example(t)
	for after, want := range map[time.Duration]string{0: "", time.Hour: "", -time.Minute: "", 61 * time.Minute: "may be 1 hour old", -6 * time.Minute: "in the future"} {
		if got := plan.CheckAge(plan.MadeAt.Add(after), time.Hour); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("after %s: got %q, want %q", after, got, want)
		}
	}
}

// A namespace that did not exist when the plan was made may have been created since; then the server's address tells the clusters apart.
func TestCompareBasisOfAMissingNamespace(t *testing.T) {
	t.Parallel()
	basis := release.Basis{Server: "https://one.example.com"}
	kept, err := NewAgainst(basis)
	if err != nil {
		t.Fatal(err)
	}
	plan := Plan{Against: kept}
	basis.Namespace = "uid"
	if got, err := plan.CompareBasis(basis); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	basis.Server = "https://two.example.com"
	if got, err := plan.CompareBasis(basis); err != nil || len(got) != 1 || !strings.Contains(got[0], "cluster: planned https://one.example.com") {
		t.Errorf("got %q, %v", got, err)
	}
	plan.Against.Salt = "no hex"
	if _, err := plan.CompareBasis(basis); err == nil {
		t.Error("a salt that is no hex passes")
	}
}

// FuzzDecode: what is read can be written, and is read again as the same.
func FuzzDecode(f *testing.F) {
	file, _, err := Encode(example(f), keep)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(sealed(`{}`))
	f.Add(sealed(`{"madeAt":"2026-11-29T12:00:00Z","subject":{"images":null},"plan":{},"against":{}}`))
	f.Add([]byte(`{"format":"onedigest.dev/plan/v1","digest":"","content":null}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		plan, sum, err := Decode(file)
		if err != nil {
			return
		}
		again, sumAgain, err := Encode(plan, keep)
		if err != nil || sum != sumAgain {
			t.Fatalf("got %s, %v, want %s", sumAgain, err, sum)
		}
		if _, _, err := Decode(again); err != nil {
			t.Error(err)
		}
		plan.CheckAge(time.Time{}, 0)
		plan.CompareSubject(Subject{})
		compareObjects(plan.Against.Objects, nil)
	})
}

func TestGolden(t *testing.T) {
	t.Parallel()
	file, _, err := Encode(example(t), keep)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "plan.golden.json")
	if *update {
		if err := os.WriteFile(golden, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(file)); diff != "" {
		t.Errorf("the format changed: -want +got:\n%s", diff)
	}
}

// TestHooksOfOneName: two hooks of one kind and name, such as one before the install and one before an upgrade, are two.
func TestHooksOfOneName(t *testing.T) {
	t.Parallel()
	digest := func(letter string) release.Digest {
		parsed, err := release.ParseDigest("sha256:" + strings.Repeat(letter, 64))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	job := release.Object{APIVersion: "batch/v1", Kind: "Job", Name: "migrate"}
	planned := []release.PlannedObject{{Object: job, Hook: true, Rendered: digest("a")}, {Object: job, Hook: true, Rendered: digest("b")}}
	if rendered, live := compareObjects(planned, planned); len(rendered) > 0 || len(live) > 0 {
		t.Errorf("got %q, %q", rendered, live)
	}
	changed := []release.PlannedObject{planned[0], {Object: job, Hook: true, Rendered: digest("c")}}
	if rendered, _ := compareObjects(planned, changed); len(rendered) != 1 {
		t.Errorf("after a change of one: got %q", rendered)
	}
	if rendered, _ := compareObjects(planned, planned[:1]); len(rendered) != 1 {
		t.Errorf("without one: got %q", rendered)
	}
}
