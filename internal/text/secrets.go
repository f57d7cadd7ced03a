package text

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
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
	public   map[string]bool // true for identities
	names    map[string]bool // of objects
	plain    map[string]bool // values that are no possible secret; true for those in which none is redacted
	sorted   *sorted         // made from the other fields; nil if they have changed since
}

// sorted holds the values that a text is searched for.
type sorted struct {
	secret, possible *index          // forms of values
	long             *index          // those of secret that are searched for in the names of fields
	forms            int             // number of all
	names            *index          // values that a short form may be a part of
	objects          map[string]bool // the names of objects
	public           []string        // values that a form may be a part of
	whole            map[string]bool // those of public that are identities
}

// Add adds values that are secret: of a Secret, a token, a password. Their parts are added too: the lines of a text, the strings of a JSON document, the password of a URL. Values of less than 6 bytes, and common words of Kubernetes, are left out.
func (s *Secrets) Add(values ...string) { s.add(minSecret, values) }

// AddWhole is Add without the parts of the values.
func (s *Secrets) AddWhole(values ...string) {
	if s == nil {
		return
	}
	var added []string
	for _, value := range values {
		if len(value) >= minSecret && !isCommonWord(value) {
			added = append(added, formsOf(value, minSecret)...)
		}
	}
	s.keep(&s.secret, added)
}

// AddPossible adds values that often are secret, such as those of environment variables. Values of less than 8 bytes, and common
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
			if len(part) >= minimum && !isCommonWord(part) {
				added = append(added, formsOf(part, minimum)...)
			}
		}
	}
	into := &s.secret
	if minimum == minPossible {
		into = &s.possible
	}
	s.keep(into, added)
}

// keep adds forms of values to the secret or the possible ones.
func (s *Secrets) keep(into *map[string]bool, forms []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *into == nil {
		*into = map[string]bool{}
	}
	for _, form := range forms {
		if !(*into)[form] {
			(*into)[form], s.sorted = true, nil
		}
	}
}

// MarkPublic excludes values from redaction, even if a secret has the same value: names, commits and addresses that the run is about.
//
// Inside a longer public value, a possible secret is not redacted either. A secret is: a public URL may contain a password.
func (s *Secrets) MarkPublic(values ...string) { s.markPublic(false, values) }

// MarkPublicIdentities is MarkPublic for values that cannot contain a secret: commits, digests, tags, images, and names that the caller gives. No part of
// them is redacted.
func (s *Secrets) MarkPublicIdentities(values ...string) { s.markPublic(true, values) }

// MarkPublicNames adds the names of objects: a possible secret is shown if it is one of them or part of one. A secret is shown as a part of a longer name if it is shorter
// than 12 bytes, because that is mostly a word that both have; a longer one is no coincidence. A secret that is equal to a name is not shown.
func (s *Secrets) MarkPublicNames(names ...string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	for _, name := range names {
		if len(name) >= minSecret && !s.names[name] {
			s.names[name], s.sorted = true, nil
		}
	}
}

// MarkPlain says that values are no possible secrets: they stand where nothing secret does, such as in a chart's own defaults. A secret of the same value is redacted
// nevertheless, and so is a possible one that has more text.
func (s *Secrets) MarkPlain(values ...string) { s.markPlain(false, values) }

// MarkReferences is MarkPlain for references to images, in which no possible secret is redacted either. The repository alone counts as one.
func (s *Secrets) MarkReferences(references ...string) {
	for _, reference := range references {
		if !imageReference.MatchString(reference) {
			continue
		}
		name, _, _ := strings.Cut(reference, "@")
		repository := name
		if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
			repository = name[:at]
		}
		s.markPlain(true, []string{reference, name, repository})
	}
}

// imageReference matches what may be a reference to an image. Source: github.com/distribution/reference, grammar.
var imageReference = regexp.MustCompile(`^[a-zA-Z0-9][\w.:/@-]{1,510}$`)

// markPlain adds values that are no possible secrets; whole says that no possible secret is redacted in them.
func (s *Secrets) markPlain(whole bool, values []string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plain == nil {
		s.plain = map[string]bool{}
	}
	for _, value := range values {
		if known, found := s.plain[value]; len(value) >= minPossible && (!found || whole && !known) {
			s.plain[value], s.sorted = whole, nil
		}
	}
}

// markPublic adds public values; whole says that no part of them is redacted.
func (s *Secrets) markPublic(whole bool, values []string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public == nil {
		s.public = map[string]bool{}
	}
	for _, value := range values {
		value = strings.TrimSpace(value)
		if known, found := s.public[value]; value != "" && (!found || whole && !known) {
			s.public[value], s.sorted = whole, nil
		}
	}
}

// search returns what a text is searched for.
func (s *Secrets) search() *sorted {
	s.mu.RLock()
	known := s.sorted
	s.mu.RUnlock()
	if known != nil {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := &sorted{whole: map[string]bool{}}
	var secret, long, possible []string
	for one := range s.secret {
		if _, public := s.public[one]; !public {
			secret = append(secret, one)
			if len(one) >= minKey {
				long = append(long, one)
			}
		}
	}
	for one := range s.possible {
		_, public := s.public[one]
		_, plain := s.plain[one]
		if !public && !plain && !s.secret[one] && !s.names[one] {
			possible = append(possible, one)
		}
	}
	made.names, made.objects = newIndex(slices.Collect(maps.Keys(s.names))), maps.Clone(s.names)
	made.secret, made.long, made.possible, made.forms = newIndex(secret), newIndex(long), newIndex(possible), len(secret)+len(possible)
	for value, whole := range s.public {
		if len(value) > minSecret {
			made.public, made.whole[value] = append(made.public, value), whole
		}
	}
	for value, whole := range s.plain {
		if _, public := s.public[value]; whole && !public {
			made.public = append(made.public, value)
		}
	}
	s.sorted = made
	return made
}

// span is a part of a text, from and to in bytes.
type span struct{ from, to int }

// Redact returns a text with "***" in place of every secret, in any of its usual encodings (base64, JSON, URL), and in place of the
// beginning or the end of a secret where the text was cut.
func (s *Secrets) Redact(text string) string {
	if s == nil || text == "" {
		return text
	}
	return replace(text, s.search().finds(text))
}

// Clean redacts and sanitizes a text of several lines. It is redacted again at the end, since a character that the sanitizer removes may have divided
// a secret.
func (s *Secrets) Clean(untrusted string) string {
	return s.Redact(Lines(s.Redact(untrusted), NoLimit))
}

// CleanLine is Clean for a text that becomes one line.
func (s *Secrets) CleanLine(untrusted string) string {
	return s.Redact(Line(s.Redact(untrusted), NoLimit))
}

// Hide redacts a text that is kept as it is otherwise, such as a field of a signed record. A text whose secret is divided by characters that the sanitizer
// removes becomes one sanitized line.
func (s *Secrets) Hide(untrusted string) string {
	redacted := s.Redact(untrusted)
	line := Line(redacted, NoLimit)
	if hidden := s.Redact(line); hidden != line {
		return hidden
	}
	return redacted
}

// Pseudonym returns a name as it is, unless it contains a secret: then it returns a name that has none and that the same name always gets, so that names
// which differ still do. It is a hash without a salt, because other programs compare it: who guesses the name can confirm that.
func (s *Secrets) Pseudonym(name string) string {
	if s.Hide(name) == name {
		return name
	}
	return fmt.Sprintf("hidden-%x", sha256.Sum256([]byte(name)))[:len("hidden-")+16]
}

// finds returns the places of all forms in a text, without those inside of what is public.
func (s *sorted) finds(text string) []span {
	ellipses := ellipsesOf(text)
	found, possible := s.secret.finds(text, ellipses), s.possible.finds(text, ellipses)
	if len(found)+len(possible) == 0 {
		return nil
	}
	possible = slices.DeleteFunc(possible, func(one span) bool { return s.isInObject(text, one) })
	public, whole := s.publicSpans(text)
	names := s.names.finds(text, nil)
	if len(names) > 0 { // which only short secrets may be a part of
		found = append(outside(found, names), s.long.finds(text, ellipses)...)
	}
	return append(outside(found, whole), outside(possible, append(public, names...))...)
}

// isInObject reports whether a place is the slash and the name in a reference to an object, as in StatefulSet/alertmanager: a path /alertmanager among the arguments of a
// program is the same text.
func (s *sorted) isInObject(text string, one span) bool {
	if text[one.from] != '/' || !s.objects[text[one.from+1:one.to]] {
		return false
	}
	kind := text[:one.from]
	kind = kind[strings.LastIndexFunc(kind, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') })+1:]
	return kind != "" && kind[0] <= 'Z'
}

// publicSpans returns the places of what is public in a text, and of those the ones of identities.
func (s *sorted) publicSpans(text string) (public, whole []span) {
	for _, value := range s.public {
		places := appendPlaces(nil, text, value)
		public = append(public, places...)
		if s.whole[value] {
			whole = append(whole, places...)
		}
	}
	return public, whole
}

// replace returns a text with "***" in the places.
func replace(text string, found []span) string {
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

// minKey is the least length of a secret that is redacted in the name of a field, and as a part of the name of an object, in bytes: programs look
// fields up by name, and short secrets are often words that names have too.
const minKey = 12

// redactKey redacts the name of a field of JSON: long secrets only.
func (s *Secrets) redactKey(name string) string {
	if s == nil {
		return name
	}
	sorted := s.search()
	found := sorted.long.finds(name, ellipsesOf(name))
	_, whole := sorted.publicSpans(name)
	return replace(name, outside(found, whole))
}

// RedactJSON redacts the strings of a JSON document, and in the names of its fields only long secrets. It writes what a runner would take for a command ("::", "##[") as escapes.
// Everything else, the order of its fields included, stays as it is. Outside of strings, JSON has neither. What is not JSON is
// redacted as text.
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
		redact := s.Redact
		if strings.HasPrefix(strings.TrimLeft(rest[end+1:], " \t\r\n"), ":") {
			redact = s.redactKey
		}
		redacted.WriteString(rest[:begin] + redactLiteral(rest[begin:end+1], redact))
		rest = rest[end+1:]
	}
}

// redactLiteral redacts a string literal of JSON.
func redactLiteral(literal string, redact func(string) string) string {
	var value string
	if json.Unmarshal([]byte(literal), &value) != nil {
		return literal
	}
	if safe := redact(value); safe != value {
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

// commonWords are frequent values of environment variables and chart values that are no secrets, in lower case.
var commonWords = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`production staging development localhost LoadBalancer ClusterIP NodePort ExternalName
		RollingUpdate Recreate OnDelete OrderedReady Parallel Immediate WaitForFirstConsumer ReadOnlyMany ReadWriteOncePod Filesystem ClusterFirstWithHostNet
		DoNotSchedule ScheduleAnyway NoSchedule PreferNoSchedule NoExecute RuntimeDefault Unconfined NonIndexed FallbackToLogsOnError
		PreemptLowerPriority SingleStack PreferDualStack RequireDualStack IfHealthyBudget AlwaysAllow IfNotPresent ReadWriteOnce ReadWriteMany OnFailure ClusterFirst Guaranteed Burstable BestEffort Deployment
		StatefulSet DaemonSet ReplicaSet Namespace ConfigMap Kubernetes kubernetes container unchanged superseded rolled-back inconclusive
		/healthz /readyz /configs /metrics application/json text/plain text/html linux/amd64 linux/arm64 disabled enabled required
		optional postgres postgresql mysql mariadb mongodb redis rabbitmq memcached root admin administrator true false yes no on off none null
		default-scheduler 127.0.0.1 UTF-8 en_US.UTF-8 registry.k8s.io docker.io ghcr.io`) {
		words[strings.ToLower(word)] = true
	}
	return words
}()

func isCommonWord(value string) bool { return commonWords[strings.ToLower(value)] }

// Len returns the number of redacted forms of all values.
func (s *Secrets) Len() int {
	if s == nil {
		return 0
	}
	return s.search().forms
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
