package text

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"
)

// Values shorter than these are not redacted, in bytes: "true" and "8080" are everywhere, and a log without them says nothing.
const (
	minSecret   = 6
	minPossible = 8
)

// Redacted replaces a secret in a text.
const Redacted = "***"

// Secrets is the set of values that no text may show: passwords, tokens, contents of Secrets. One run has one set. It is filled
// where a value is first seen, and every text that leaves the process is redacted by it. It may be used by several goroutines.
// A nil set is empty and stays empty.
type Secrets struct {
	mu       sync.RWMutex
	secret   map[string]bool // forms of values that are secret
	possible map[string]bool // forms of values that may be
	public   map[string]bool
	sorted   []string // the forms that are redacted; nil if it must be made again
}

// Add adds values that are secret: of a Secret, a token, a password. What they are made of is added too: the lines of a text, the
// strings of a JSON document, the password of a URL. Values of less than 6 bytes are left out.
func (s *Secrets) Add(values ...string) { s.add(minSecret, values) }

// AddPossible adds values that often are secret, such as those of environment variables. Values of less than 8 bytes, and usual
// words of Kubernetes, are left out.
func (s *Secrets) AddPossible(values ...string) { s.add(minPossible, values) }

// add adds each value's parts of at least minimum bytes in every form, to the possible secrets if minimum is minPossible.
func (s *Secrets) add(minimum int, values []string) {
	if s == nil {
		return
	}
	var added []string
	for _, value := range values {
		for _, part := range partsOf(value) {
			if len(part) >= minimum {
				added = append(added, formsOf(part, minimum)...)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	into := &s.secret
	if minimum == minPossible {
		into = &s.possible
	}
	if *into == nil {
		*into = map[string]bool{}
	}
	for _, form := range added {
		if !(*into)[form] {
			(*into)[form], s.sorted = true, nil
		}
	}
}

// Publish adds values that are no secrets, although one may be equal to them: names, commits and addresses that the run is about.
func (s *Secrets) Publish(values ...string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public == nil {
		s.public = map[string]bool{}
	}
	for _, value := range values {
		if value = strings.TrimSpace(value); value != "" && !s.public[value] {
			s.public[value], s.sorted = true, nil
		}
	}
}

// forms returns what is redacted, longest first.
func (s *Secrets) forms() []string {
	s.mu.RLock()
	sorted := s.sorted
	s.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sorted = []string{}
	for form := range s.secret {
		if !s.public[form] {
			s.sorted = append(s.sorted, form)
		}
	}
	for form := range s.possible {
		if !s.public[form] && !s.secret[form] && !isUsual(form) {
			s.sorted = append(s.sorted, form)
		}
	}
	slices.SortFunc(s.sorted, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return s.sorted
}

// span is a part of a text, from and to in bytes.
type span struct{ from, to int }

// Redact returns a text with "***" in place of every secret, in any of its usual encodings (base64, JSON, URL), and in place of the
// beginning or the end of a secret where the text was cut.
func (s *Secrets) Redact(text string) string {
	if s == nil || text == "" {
		return text
	}
	var found []span
	for _, form := range s.forms() {
		found = appendFinds(found, text, form)
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var redacted strings.Builder
	end := 0 // of what is copied or redacted
	for i := 0; i < len(found); {
		one := found[i]
		for i++; i < len(found) && found[i].from <= one.to; i++ {
			one.to = max(one.to, found[i].to)
		}
		redacted.WriteString(text[end:one.from] + Redacted)
		end = one.to
	}
	return redacted.String() + text[end:]
}

// maxCut is the longest part of a secret that is searched for next to an ellipsis, in bytes.
const maxCut = 1024

// appendFinds adds the places of a form in a text, and those where an ellipsis follows its beginning or precedes its end.
func appendFinds(found []span, text, form string) []span {
	for from := 0; ; {
		at := strings.Index(text[from:], form)
		if at < 0 {
			break
		}
		found = append(found, span{from + at, from + at + len(form)})
		from += at + len(form)
	}
	for _, mark := range []string{ellipsis, "..."} {
		for from := 0; ; {
			at := strings.Index(text[from:], mark)
			if at < 0 {
				break
			}
			before, after := text[:from+at], text[from+at+len(mark):]
			for cut := min(len(form)-1, len(before), maxCut); cut >= minSecret; cut-- {
				if strings.HasSuffix(before, form[:cut]) {
					found = append(found, span{len(before) - cut, len(before)})
					break
				}
			}
			for cut := min(len(form)-1, len(after), maxCut); cut >= minSecret; cut-- {
				if strings.HasPrefix(after, form[len(form)-cut:]) {
					found = append(found, span{len(text) - len(after), len(text) - len(after) + cut})
					break
				}
			}
			from += at + len(mark)
		}
	}
	return found
}

// RedactJSON redacts the strings of a JSON document, and escapes in them what a runner would read as a command ("::", "##["). Everything
// else, including the order of fields, is unchanged: secrets and commands can only be in strings. A text that is not JSON is redacted as
// text.
func (s *Secrets) RedactJSON(document string) string {
	if !json.Valid([]byte(document)) {
		return s.Redact(document)
	}
	var redacted strings.Builder
	for rest := document; ; {
		begin := strings.IndexByte(rest, '"')
		if begin < 0 {
			redacted.WriteString(rest)
			return redacted.String()
		}
		end := begin + 1
		for ; rest[end] != '"'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		redacted.WriteString(rest[:begin] + s.redactLiteral(rest[begin:end+1]))
		rest = rest[end+1:]
	}
}

// redactLiteral redacts a string literal of JSON.
func (s *Secrets) redactLiteral(literal string) string {
	var value string
	if json.Unmarshal([]byte(literal), &value) != nil {
		return literal
	}
	if safe := s.Redact(value); safe != value {
		if encoded, err := json.Marshal(safe); err == nil {
			literal = string(encoded)
		}
	}
	return escapeInvisible(commandEscapes.Replace(literal))
}

// escapeInvisible writes zero-width characters, which some terminals interpret, as JSON escapes (RFC 8259, section 7).
func escapeInvisible(literal string) string {
	if !strings.ContainsFunc(literal, isInvisible) {
		return literal
	}
	var escaped strings.Builder
	for _, r := range literal {
		switch {
		case !isInvisible(r):
			escaped.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&escaped, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&escaped, `\u%04x`, r)
		}
	}
	return escaped.String()
}

// commandEscapes writes what begins a runner's command as JSON's escapes.
var commandEscapes = strings.NewReplacer("##[", `#\u0023[`, "::", `:\u003a`)

// usual are values of charts and pods that say nothing about anybody, although environment variables and assignments often have them.
var usual = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`production staging development localhost LoadBalancer ClusterIP NodePort ExternalName
		RollingUpdate Recreate IfNotPresent ReadWriteOnce ReadWriteMany OnFailure ClusterFirst Guaranteed Burstable BestEffort Deployment
		StatefulSet DaemonSet ReplicaSet Namespace ConfigMap Kubernetes kubernetes container unchanged superseded rolled-back inconclusive
		/healthz /readyz /configs /metrics application/json text/plain text/html linux/amd64 linux/arm64 disabled enabled required
		optional default-scheduler 127.0.0.1 UTF-8 en_US.UTF-8 registry.k8s.io docker.io ghcr.io`) {
		words[word] = true
	}
	return words
}()

func isUsual(value string) bool { return usual[value] }

// Len returns the number of redacted forms of all values.
func (s *Secrets) Len() int {
	if s == nil {
		return 0
	}
	return len(s.forms())
}

// merge returns the sorted union of the lists.
func merge(lists ...[]string) []string {
	all := map[string]bool{}
	for _, list := range lists {
		for _, one := range list {
			all[one] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
