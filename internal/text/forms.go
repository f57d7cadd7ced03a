package text

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxParts bounds the lines and strings of one value that are redacted on their own.
const maxParts = 2000

// partsOf returns a value and its parts that are secret on their own: the lines of a text and the values that they assign, the strings of a JSON document,
// the password of a URL.
func partsOf(value string) []string {
	value = strings.TrimSpace(value)
	parts := []string{value}
	if password := PasswordOf(value); password != "" {
		parts = append(parts, password, percentDecoded(password))
	}
	switch {
	case strings.HasPrefix(value, "{") || strings.HasPrefix(value, "["):
		parts = append(parts, leavesOf(value)...)
	case strings.Contains(value, "\n"):
		for _, line := range Scalars(value) {
			if len(line) >= minPossible && !strings.HasPrefix(line, "-----") {
				parts = append(parts, line)
			}
		}
	}
	return parts[:min(len(parts), maxParts)]
}

// userInfo matches the user and the password in a URL (RFC 3986, section 3.2.1).
var userInfo = regexp.MustCompile(`://[^/@\s:?#]*:([^/@\s?#]+)@`)

// PasswordOf returns the password in a URL as it is written there, "" if it has none.
func PasswordOf(value string) string {
	if match := userInfo.FindStringSubmatch(value); match != nil {
		return match[1]
	}
	return ""
}

// CredentialsOf returns what is secret in the value of an Authorization header: the token, and the password of basic authentication.
// Source: RFC 9110, section 11.4; RFC 7617, section 2.
func CredentialsOf(header string) []string {
	scheme, token, found := strings.Cut(strings.TrimSpace(header), " ")
	if !found {
		return []string{scheme}
	}
	token = strings.TrimSpace(token)
	credentials := []string{token}
	if strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.StdEncoding.DecodeString(token); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			credentials = append(credentials, password)
		}
	}
	return credentials
}

// percentEncoded encodes every byte of a value that is neither unreserved in a URL (RFC 3986, section 2.1) nor one of those to keep.
func percentEncoded(value, keep string) string {
	var encoded strings.Builder
	for _, b := range []byte(value) {
		if isUnreserved(b) || strings.IndexByte(keep, b) >= 0 {
			encoded.WriteByte(b)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", b)
		}
	}
	return encoded.String()
}

// percentDecoded replaces each %XX of a value by its byte.
func percentDecoded(value string) string {
	return percent.ReplaceAllStringFunc(value, func(code string) string {
		b, _ := strconv.ParseUint(code[1:], 16, 8) // two hex digits
		return string([]byte{byte(b)})
	})
}

var percent = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

func isUnreserved(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-._~", b) >= 0
}

// leavesOf returns the strings of a JSON document that are long enough, and the password in each "auth" of a docker config.
// Source: docs.docker.com, "docker login", config.json.
func leavesOf(document string) (leaves []string) {
	var decoded any
	if json.Unmarshal([]byte(document), &decoded) != nil {
		return nil
	}
	var visit func(key string, value any)
	visit = func(key string, value any) {
		switch value := value.(type) {
		case string:
			if len(value) >= minPossible {
				leaves = append(leaves, value)
			}
			if plain, err := base64.StdEncoding.DecodeString(value); err == nil && key == "auth" {
				_, password, _ := strings.Cut(string(plain), ":")
				leaves = append(leaves, password)
			}
		case []any:
			for _, item := range value {
				visit("", item)
			}
		case map[string]any:
			for name, inner := range value {
				visit(name, inner)
			}
		}
	}
	visit("", decoded)
	return leaves
}

// assigned matches a line that assigns a value, in YAML, properties, INI and shell: the value is the last group.
var assigned = regexp.MustCompile(`^(?:export\s+)?["']?[\w.\-/ ]+["']?\s*(?::\s|=)\s*(.+)$`)

// Scalars returns the lines of a text, and what each assigns if it looks like an assignment or an item of a YAML list. It is for
// texts that may not be well-formed, so that their parser's error may quote any part of them.
func Scalars(content string) (scalars []string) {
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "- "))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		scalars = append(scalars, line)
		if match := assigned.FindStringSubmatch(line); match != nil {
			scalars = append(scalars, strings.TrimSpace(match[1]), strings.Trim(strings.TrimSpace(match[1]), `"'`))
		}
	}
	return scalars
}

// formsOf returns the ways in which a value may appear in a text: as it is, as a sanitized text shows it, quoted by Go, JSON or YAML,
// or as JSON within JSON, in a URL, and in base64. Bytes that are not text appear in base64 only.
func formsOf(value string, minimum int) []string {
	forms := base64Of(value)
	if utf8.ValidString(value) {
		asJSON := inner(jsonOf(value))
		forms = append(forms, value, Line(value, NoLimit), LogLine(value, NoLimit), Lines(value, NoLimit), Line("x"+value, NoLimit)[1:],
			inner(strconv.Quote(value)), asJSON, inner(jsonOf(asJSON)), unescapeHTML.Replace(asJSON), inner(jsonOf(unescapeHTML.Replace(asJSON))),
			strings.ReplaceAll(value, "'", "''"))
		forms = append(forms, percentFormsOf(value)...)
	}
	return slices.DeleteFunc(merge(forms), func(form string) bool { return len(form) < minimum })
}

// unescapeHTML writes JSON as an encoder that does not escape HTML.
var unescapeHTML = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// What net/url leaves as it is in a segment of a path, and in a password. Source: net/url, shouldEscape.
const (
	inSegment  = "$&+:=@"
	inPassword = "$&+,;="
)

// percentFormsOf returns a value as the parts of a URL and forms have it, with large and with small hex digits.
func percentFormsOf(value string) []string {
	all := percentEncoded(value, "")
	forms := []string{all, strings.ReplaceAll(all, "%20", "+"), percentEncoded(value, inSegment), percentEncoded(value, inPassword)}
	for _, form := range forms {
		forms = append(forms, percent.ReplaceAllStringFunc(form, strings.ToLower))
	}
	return forms
}

func jsonOf(value string) string {
	encoded, _ := json.Marshal(value) // a string cannot fail
	return string(encoded)
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// base64Of returns a value in base64, and what all three alignments of it have in common wherever it is part of a longer text.
func base64Of(value string) (forms []string) {
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, encoding.EncodeToString([]byte(value)))
		for shift, skip := range []int{0, 2, 3} { // characters that the bytes before determine, too
			encoded := encoding.EncodeToString(append(make([]byte, shift), value...))
			if (shift+len(value))%3 != 0 {
				encoded = encoded[:len(encoded)-1] // the bytes after determine it, too
			}
			if aligned := encoded[min(skip, len(encoded)):]; len(aligned) >= minPossible {
				forms = append(forms, aligned)
			}
		}
	}
	return forms
}

// secretName matches the usual names of what holds a secret.
var secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key|authorization|cookie|` +
	`client[_-]?key|sign(ing)?[_-]?key|encryption[_-]?key|evidence[_-]?key|(^|[_.-])(age|ssh|deploy|master)[_-]?key|(^|[_.-])(auth|pat|pwd|dsn)$|dsn$|connection[_-]?string`)

// secretValue matches values that are secret whatever their name is: a private key in PEM (RFC 7468) or of age (age-encryption.org/v1, X25519).
var secretValue = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|AGE-SECRET-KEY-1`)

// IsSecret reports whether a value is secret whatever its name is.
func IsSecret(value string) bool { return secretValue.MatchString(value) }

// NamesSecret reports whether a variable, key or header of this name usually holds a secret: DB_PASSWORD, apiKey, Authorization.
//
// A name that says where the secret is (SECRET_NAME, tokenFile, existingSecret, imagePullSecrets) does not count.
func NamesSecret(name string) bool { return secretName.MatchString(name) && !NamesPlace(name) }

// NamesPlace reports whether a key of this name says where a secret is, or how it is used.
func NamesPlace(name string) bool { return placeName.MatchString(name) }

// placeName matches the names of what says where a secret is, or how it is used.
var placeName = regexp.MustCompile(`(?i)([_.-]|^|[a-z])(name|ref|refs|file|path|dir|url|uri|id|arn|enabled|provider|class|type|version|` +
	`backend|domain|issuer|policy|mode|store|audience)$|^existing|pullsecrets?$`)
