package text

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheIndexFindsWhatAScanFinds compares it with a search for each value on its own, in texts in which values overlap, contain each
// other and are cut off.
func TestTheIndexFindsWhatAScanFinds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same texts in each run
	word := func(most int) string {
		var b strings.Builder
		for range minSecret + random.IntN(most) {
			b.WriteByte("ab"[random.IntN(2)])
		}
		return b.String()
	}
	for range 2000 {
		var values []string
		for range 1 + random.IntN(8) {
			values = append(values, word(8))
		}
		text := word(20) + []string{"…", "...", "…….", "", "c"}[random.IntN(5)] + word(20) + []string{"…", "......", ""}[random.IntN(3)]
		want, got := replace(text, scanned(text, values)), replace(text, newIndex(values).finds(text, ellipsesOf(text)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q in %q: %s", values, text, diff)
		}
	}
}

// scanned finds every value at every position.
func scanned(text string, values []string) (found []span) {
	for at := range text {
		for _, value := range values {
			if strings.HasPrefix(text[at:], value) {
				found = append(found, span{at, at + len(value)})
			}
			for cut := minSecret; cut < len(value); cut++ {
				rest, begun := strings.CutPrefix(text[at:], value[:cut])
				if begun && (strings.HasPrefix(rest, "...") || strings.HasPrefix(rest, ellipsis)) {
					found = append(found, span{at, at + cut})
				}
				before := text[:at]
				if strings.HasPrefix(text[at:], value[len(value)-cut:]) && (strings.HasSuffix(before, "...") || strings.HasSuffix(strings.TrimRight(before, "."), ellipsis)) {
					found = append(found, span{at, at + cut})
				}
			}
		}
	}
	return found
}

// TestOutside compares it with a search through all.
func TestOutside(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- the same places in each run
	some := func() (places []span) {
		for range random.IntN(6) {
			from := random.IntN(10)
			places = append(places, span{from, from + 1 + random.IntN(6)})
		}
		return places
	}
	for range 2000 {
		places, others := some(), some()
		want := slices.DeleteFunc(slices.Clone(places), func(one span) bool {
			return slices.ContainsFunc(others, func(other span) bool { return other.from <= one.from && one.to <= other.to && other != one })
		})
		if got := outside(slices.Clone(places), others); !slices.Equal(got, want) {
			t.Fatalf("%v outside of %v: got %v, want %v", places, others, got, want)
		}
	}
}

// manySecrets returns a set of 5,000 secrets and a log of 5 MB that has one in each line.
func manySecrets() (secrets *Secrets, log string) {
	random := rand.New(rand.NewPCG(5, 6)) // #nosec G404 -- the same log in each run
	secrets = new(Secrets)
	values := make([]string, 5000)
	for i := range values {
		values[i] = fmt.Sprintf("canary-%d-%x", i, random.Uint64())
	}
	secrets.Add(values...)
	secrets.AddPossible("level=information", "/a/b/c/d")
	secrets.MarkPublic("/a/b/c/d/e")
	for i := range 5000 {
		secrets.MarkPublicNames(fmt.Sprintf("object-%d", i))
	}
	var b strings.Builder
	for b.Len() < 5<<20 {
		fmt.Fprintf(&b, "2026-01-01T00:00:00Z level=info id=%x path=/a/b/c/d/e... token=%s canary-%x\n", random.Uint64(), values[random.IntN(len(values))], random.Uint64())
	}
	return secrets, b.String()
}

// TestManySecretsInALongLog: the time to redact does not grow with the number of secrets times the length of the log.
func TestManySecretsInALongLog(t *testing.T) {
	t.Parallel()
	secrets, log := manySecrets()
	redacted := secrets.Redact(log)
	if strings.Contains(redacted, "token=canary") || strings.Count(redacted, Redacted) < 5<<20/200 {
		t.Errorf("a secret is shown in %.300s…", redacted)
	}
	part := log[:strings.LastIndexByte(log[:1<<16], '\n')+1]
	if document := secrets.RedactJSON(jsonOf(part)); strings.Contains(document, "token=canary") {
		t.Errorf("a secret is shown in %.300s…", document)
	}
	var lines strings.Builder
	for line := range strings.Lines(part) {
		lines.WriteString(secrets.Redact(line))
	}
	if !strings.HasPrefix(redacted, lines.String()) {
		t.Error("a log that is redacted line by line is another than one that is redacted at once")
	}
}

func BenchmarkRedact(b *testing.B) {
	secrets, log := manySecrets()
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		_ = secrets.Redact(log)
	}
}
