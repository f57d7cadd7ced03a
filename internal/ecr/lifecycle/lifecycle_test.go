package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/ecr/lifecycle"
)

var now = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

// image is pushed some days ago.
func image(digest string, days int, tags ...string) lifecycle.Image {
	return lifecycle.Image{Digest: digest, Tags: tags, Pushed: now.AddDate(0, 0, -days)}
}

func rule(priority int, selection string) string {
	return fmt.Sprintf(`{"rulePriority":%d,"selection":{%s},"action":{"type":"expire"}}`, priority, selection)
}

const (
	olderThan14 = `"countType":"sinceImagePushed","countUnit":"days","countNumber":14`
	onlyOne     = `"countType":"imageCountMoreThan","countNumber":1`
)

// The cases with "example" are those of the Amazon ECR User Guide, "Examples of lifecycle policies in Amazon ECR".
func TestEffects(t *testing.T) {
	t.Parallel()
	tagged := func(prefix string) string { return fmt.Sprintf(`"tagStatus":"tagged","tagPrefixList":[%q],`, prefix) }
	archived := image("old", 50, "prod-1")
	archived.Archived, archived.Transitioned = true, now.AddDate(0, 0, -20)
	pulled := image("A", 90)
	pulled.Pulled = now.AddDate(0, 0, -3)
	for name, test := range map[string]struct {
		rules  []string
		images []lifecycle.Image
		days   int // to look ahead
		want   []string
	}{
		"example: multiple rules": {
			[]string{rule(1, tagged("prod")+onlyOne), rule(2, tagged("beta")+onlyOne)},
			[]lifecycle.Image{image("A", 10, "beta-1", "prod-1"), image("B", 9, "beta-2", "prod-2"), image("C", 8, "beta-3")}, 0, []string{"A by 1"},
		},
		"example: multiple tags in one rule": {
			[]string{rule(1, `"tagStatus":"tagged","tagPrefixList":["alpha","beta"],`+onlyOne)},
			[]lifecycle.Image{image("A", 12, "alpha-1"), image("B", 11, "beta-1"), image("C", 10, "alpha-2", "beta-2"), image("D", 9, "alpha-3", "beta-3")}, 0, []string{"C by 1"},
		},
		"example: all images": {
			[]string{rule(1, `"tagStatus":"any",`+onlyOne)}, []lifecycle.Image{image("A", 2, "x"), image("B", 1)}, 0, []string{"A by 1"},
		},
		"age":                {[]string{rule(1, `"tagStatus":"any",`+olderThan14)}, []lifecycle.Image{image("A", 15), image("B", 13)}, 0, []string{"A by 1"}},
		"age, looking ahead": {[]string{rule(1, `"tagStatus":"any",`+olderThan14)}, []lifecycle.Image{image("A", 15), image("B", 13), image("C", 1)}, 2, []string{"A by 1", "B by 1"}},
		"untagged only":      {[]string{rule(1, `"tagStatus":"untagged",`+olderThan14)}, []lifecycle.Image{image("A", 15), image("B", 15, "x")}, 0, []string{"A by 1"}},
		"pulled lately":      {[]string{rule(1, `"tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":14`)}, []lifecycle.Image{pulled, image("B", 90)}, 0, []string{"B by 1"}},
		"a pattern":          {[]string{rule(1, `"tagStatus":"tagged","tagPatternList":["*-dirty-*"],`+olderThan14)}, []lifecycle.Image{image("A", 15, "c0ffee-dirty-1"), image("B", 15, "c0ffee")}, 0, []string{"A by 1"}},
		"a rule protects from later ones": {
			[]string{rule(1, tagged("production-")+`"countType":"imageCountMoreThan","countNumber":9`), rule(2, `"tagStatus":"any",`+olderThan14)},
			[]lifecycle.Image{image("A", 15, "production-1"), image("B", 15)}, 0, []string{"B by 2"},
		},
		"archived images are of another class": {
			[]string{rule(1, `"tagStatus":"any",`+olderThan14), rule(2, `"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":90`)},
			[]lifecycle.Image{archived}, 0, nil,
		},
		"archived long ago": {
			[]string{rule(2, `"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":10`)},
			[]lifecycle.Image{archived}, 0, []string{"old by 2"},
		},
	} {
		policy, err := lifecycle.Parse(`{"rules":[` + strings.Join(test.rules, ",") + `]}`)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for digest, effect := range policy.Effects(test.images, now, now.AddDate(0, 0, test.days)) {
			got = append(got, fmt.Sprintf("%s by %d", digest, effect.Rule))
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "[]x", `{"rules":[{}]}`, `{"rules":[` + rule(1, `"tagStatus":"any","countType":"sinceYesterday","countNumber":1`) + `]}`,
		`{"rules":[` + rule(1, `"tagStatus":"some",`+onlyOne) + `]}`, `{"rules":[` + rule(1, `"tagStatus":"any","countType":"sinceImagePushed","countUnit":"weeks","countNumber":1`) + `]}`,
	} {
		if got, err := lifecycle.Parse(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"rules":[` + rule(1, `"tagStatus":"tagged","tagPatternList":["*a*b"],`+olderThan14) + `]}`)
	f.Add(`{"rules":[` + rule(3, `"tagStatus":"any",`+onlyOne) + `]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		if policy, err := lifecycle.Parse(text); err == nil {
			policy.Effects([]lifecycle.Image{image("A", 15, "c-dirty-1"), image("B", 1)}, now, now)
		}
	})
}

// TestRule: a rule that selects images of commits in use is named, however many there may be.
func TestRule(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("0123456789", 4)
	for name, test := range map[string]struct {
		rules []string
		want  int
	}{
		"any":               {[]string{rule(3, `"tagStatus":"tagged","tagPatternList":["*-dirty*"],`+olderThan14), rule(9, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":500`)}, 9},
		"untagged":          {[]string{rule(1, `"tagStatus":"untagged",`+olderThan14)}, 0},
		"uncommitted":       {[]string{rule(1, `"tagStatus":"tagged","tagPatternList":["*-dirty*"],`+olderThan14)}, 0},
		"the archive's own": {[]string{rule(1, `"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":90`)}, 0},
		"none":              {nil, 0},
	} {
		policy, err := lifecycle.Parse(`{"rules":[` + strings.Join(test.rules, ",") + `]}`)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, found := policy.Rule(commit); got != test.want || found != (test.want > 0) {
			t.Errorf("%s: got rule %d, %t; want %d", name, got, found, test.want)
		}
	}
}
