package probe

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
)

func (p *parser) digest(node *yaml.Node) release.Digest {
	text := p.text(node, "body-digest")
	digest, err := release.ParseDigest(text)
	if err != nil {
		p.problem(node, "write sha256: and the 64 hex digits that sha256sum prints", "body-digest: %s", excerpt(err.Error()))
	}
	return digest
}

// compareBodyDigest does not pass a body that is longer than what was read of it.
func compareBodyDigest(check compiledCheck, got response) []string {
	if check.BodyDigest.IsZero() {
		return nil
	}
	if got.truncated {
		return []string{fmt.Sprintf("body: expected %s, got a body of more than %d bytes, which is not read whole", check.BodyDigest, len(got.body))}
	}
	if actual := release.DigestOf(got.body); actual != check.BodyDigest {
		return []string{fmt.Sprintf("body: expected %s, got %s of %d bytes", check.BodyDigest, actual, len(got.body))}
	}
	return nil
}

func (p *parser) location(node *yaml.Node) string {
	text := p.expandable(node, "location")
	target, err := url.Parse(text)
	valid := err == nil && (strings.HasPrefix(text, "/") && pathProblem(text) == "" || (target.Scheme == "http" || target.Scheme == "https") && target.Host != "")
	if !valid && !strings.HasPrefix(text, "${") {
		p.problem(node, "write it as /login?next=%2F or https://login.example.com/", "location %s is neither a path nor a URL", quote(text))
	}
	return text
}

// compareLocation compares where a redirect leads, or where the response came from if redirects were followed: a path with the path and
// query on the host of the request, a URL with the whole.
func compareLocation(check compiledCheck, got response) []string {
	if check.Location == "" {
		return nil
	}
	at := got.at
	if got.status >= http.StatusMultipleChoices && got.status < http.StatusBadRequest {
		header := got.header.Get("Location")
		if header == "" {
			return []string{fmt.Sprintf("location: expected %s, got no Location header", quote(check.Location))}
		}
		next, err := got.at.Parse(header)
		if err != nil {
			return []string{fmt.Sprintf("location: expected %s, got %s, which is not a URL", quote(check.Location), quote(header))}
		}
		at = next
	}
	if at == nil {
		return nil
	}
	same := at.String() == check.Location
	if strings.HasPrefix(check.Location, "/") {
		same = at.RequestURI() == check.Location && strings.EqualFold(at.Hostname(), got.asked.Hostname())
	}
	if same {
		return nil
	}
	return []string{fmt.Sprintf("location: expected %s, got %s", quote(check.Location), quote(at.Redacted()))}
}

// maxDays is the longest time that a certificate can be required to be valid for.
const maxDays = 10000

func (p *parser) days(node *yaml.Node) int {
	var days int
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || node.Decode(&days) != nil || days < 1 || days > maxDays {
		p.problem(node, "write a number of days, such as 14", "tls-min-days %s is not a number from 1 to %d", quote(node.Value), maxDays)
	}
	return days
}

// compareCertificate requires that the server's certificate, and those that it sends for its issuers, are valid for some days more. A pod that gets plain requests behind a gateway with TLS has none: the gateway's certificate is compared at the URL.
func compareCertificate(check compiledCheck, got response) []string {
	if check.CertificateDays == 0 || got.gateway {
		return nil
	}
	if len(got.peer) == 0 {
		return []string{"certificate: expected one, got a response without TLS"}
	}
	for _, certificate := range got.peer {
		if left := certificate.NotAfter.Sub(got.now); left < time.Duration(check.CertificateDays)*24*time.Hour {
			return []string{fmt.Sprintf("certificate: expected to be valid for %d more days, got %s, until %s, of %s", check.CertificateDays,
				strconv.FormatFloat(max(left.Hours()/24, 0), 'f', 1, 64)+" days", certificate.NotAfter.UTC().Format(time.RFC3339), quote(certificate.Subject.String()))}
		}
	}
	return nil
}

// Percentiles are those that a check may limit.
var percentiles = []string{"p50", "p75", "p90", "p95", "p99"}

func (p *parser) latency(node *yaml.Node) map[string]time.Duration {
	limits := map[string]time.Duration{}
	for _, entry := range p.entries(node, "latency") {
		if !slices.Contains(percentiles, entry.name) {
			p.problem(entry.key, "use "+strings.Join(percentiles, ", "), "%s is not a percentile that a check may limit", quote(entry.name))
			continue
		}
		limits[entry.name] = p.duration(entry.value, entry.name)
	}
	if len(limits) == 0 && p.checkPlain(node) && node.Kind == yaml.MappingNode && len(node.Content) == 0 {
		p.problem(node, "write it as {p95: 300ms}", "latency limits nothing")
	}
	return limits
}

// Where a value is captured from.
const (
	captureJSON   = "json"
	captureHeader = "header"
	captureCookie = "cookie"
	captureRegex  = "body-regex"
)

// capture reads the captured values of a check: the name of each, and where it is.
func (p *parser) capture(node *yaml.Node) []release.Capture {
	captures := map[string]release.Capture{}
	for _, entry := range p.entries(node, "capture") {
		if !valueName.MatchString(entry.name) {
			p.problem(entry.key, "use letters, digits and underscores", "%s is not the name of a value", quote(entry.name))
		}
		if line := p.captured[entry.name]; line > 0 {
			p.problem(entry.key, "give each value its own name", "%s is captured already by the check at line %d", quote(entry.name), line)
		}
		captures[entry.name] = p.captureFrom(entry)
	}
	var sorted []release.Capture
	for _, name := range slices.Sorted(maps.Keys(captures)) {
		sorted = append(sorted, captures[name])
	}
	return sorted
}

// captureFrom reads where one value is.
func (p *parser) captureFrom(value entry) release.Capture {
	capture := release.Capture{Name: value.name}
	const do = "write it as {json: $.token}, {header: X-Token}, {cookie: session} or {body-regex: 'id=([0-9]+)'}"
	sources := p.entries(value.value, "a captured value")
	if len(sources) != 1 && value.value.Kind == yaml.MappingNode {
		p.problem(value.value, do, "%s has %d places, want one", quote(value.name), len(sources))
	}
	for _, source := range sources {
		capture.From, capture.Value = source.name, p.text(source.value, source.name)
		switch source.name {
		case captureJSON:
			if _, err := parsePath(capture.Value); err != nil {
				p.problem(source.value, "write it as $.token", "%s", err)
			}
		case captureHeader, captureCookie:
			if !headerName.MatchString(capture.Value) {
				p.problem(source.value, "", "%s is not the name of a %s", quote(capture.Value), source.name)
			}
		case captureRegex:
			if regex, err := parseRegex(capture.Value); err != nil {
				p.problem(source.value, "", "%s", err)
			} else if regex.NumSubexp() == 0 {
				p.problem(source.value, "put parentheses around the value", "%s has no group", quote(capture.Value))
			}
		default:
			p.problem(source.key, do, "%s is no place to capture a value from", quote(source.name))
		}
	}
	return capture
}

// refuseBodyCaptures reports what a check of HEAD captures from a body.
func (p *parser) refuseBodyCaptures(node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 1; i < len(node.Content); i += 2 {
		if from := node.Content[i]; from.Kind == yaml.MappingNode && len(from.Content) > 0 &&
			(from.Content[0].Value == captureJSON || from.Content[0].Value == captureRegex) {
			p.problem(from, "use GET", "%s is captured from a body, but the response to HEAD has none", quote(node.Content[i-1].Value))
		}
	}
}
