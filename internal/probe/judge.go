package probe

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ohler55/ojg/jp"

	"github.com/onedigest/onedigest/internal/release"
)

// question is a check whose expressions are compiled.
type question struct {
	check release.Check
	regex *regexp.Regexp // nil: none
	paths map[string]jp.Expr
}

// compile fills the check's defaults (GET, 200) and compiles its expressions; what does not compile is told in words.
func compile(check release.Check) (question, []string) {
	if check.Method == "" {
		check.Method = http.MethodGet
	}
	if check.Status == 0 {
		check.Status = http.StatusOK
	}
	compiled := question{check: check, paths: map[string]jp.Expr{}}
	var wrong []string
	if check.BodyRegex != "" {
		regex, err := parseRegex(check.BodyRegex)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		compiled.regex = regex
	}
	for _, path := range slices.Concat(slices.Sorted(maps.Keys(check.JSON)), slices.Sorted(maps.Keys(check.JSONType))) {
		expr, err := parsePath(path)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		compiled.paths[path] = expr
	}
	return compiled, wrong
}

// parseRegex accepts RE2 (https://github.com/google/re2/wiki/Syntax), which matches in linear time.
func parseRegex(text string) (*regexp.Regexp, error) {
	regex, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a regular expression of RE2: %s", quote(text), clean(err.Error(), maxExcerpt))
	}
	return regex, nil
}

// judge lists every expectation that the reply does not meet, each as expected and actual.
func (q question) judge(got reply) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	check := q.check
	if got.status != check.Status {
		text := fmt.Sprintf("status: expected %d, got %d", check.Status, got.status)
		if len(got.body) > 0 {
			text += " with body " + quote(string(got.body))
		}
		say("%s", text)
	}
	for _, name := range slices.Sorted(maps.Keys(check.Header)) {
		values := got.header.Values(name)
		switch {
		case len(values) == 0:
			say("header %s: expected %s, got none", name, quote(check.Header[name]))
		case !slices.Contains(values, check.Header[name]):
			say("header %s: expected %s, got %s", name, quote(check.Header[name]), quote(strings.Join(values, ", ")))
		}
	}
	for _, text := range check.BodyContains {
		if !bytes.Contains(got.body, []byte(text)) {
			say("body: expected to contain %s, got %s", quote(text), got.excerpt())
		}
	}
	if q.regex != nil && !q.regex.Match(got.body) {
		say("body: expected to match %s, got %s", quote(check.BodyRegex), got.excerpt())
	}
	wrong = append(wrong, q.judgeJSON(got)...)
	if check.MaxLatency > 0 && got.latency > check.MaxLatency {
		say("latency: expected at most %s, took %s", check.MaxLatency, got.latency.Round(time.Millisecond))
	}
	return wrong
}
