package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Session sends checks one after another to one target, and keeps the captured values and the cookies for later checks. It must be used by one
// goroutine at a time.
type Session struct {
	prober  *Prober
	to      Target
	values  map[string]string         // captured
	missing map[string]release.Answer // the answer to the check that should have captured a value, by the value's name
	cookies http.CookieJar
}

// Session returns a session without cookies and values.
func (p *Prober) Session(to Target) *Session {
	return &Session{prober: p, to: to, values: map[string]string{}, missing: map[string]release.Answer{}}
}

// Probe sends one request to the target and check.Path and compares the response with the check. If the target has an address, the
// connection is made to it; the Host header and the name in TLS stay those of its base. It never returns an error: the
// answer's Wrong describes each problem, and its Stage says how far the request came. A blocked address or redirect is
// StageCheck, because waiting does not change it. A check that needs a value which was not captured is not sent; its stage is that of the
// check that should have given the value, if that did not reach the service.
func (s *Session) Probe(ctx context.Context, check release.Check) release.Answer {
	var answer release.Answer
	switch check.Kind {
	case release.CheckTCP:
		answer = s.prober.probeTCP(ctx, s.to, check)
	case release.CheckGRPC:
		answer = s.prober.probeGRPC(ctx, s.to, check)
	default:
		answer = s.probeHTTP(ctx, check)
	}
	answer.FromPod = s.to.Dial != nil
	return answer
}

// probeHTTP replaces the check's references by captured values, sends its request and captures the values of the response. If a value is missing, it sends nothing.
func (s *Session) probeHTTP(ctx context.Context, check release.Check) release.Answer {
	expanded, unset := s.expand(check)
	answer := release.Answer{Check: check.Name, Address: s.to.Address, Stage: release.StageCheck}
	if len(unset) > 0 {
		for _, name := range unset {
			source, known := s.missing[name]
			if known && source.Stage.Inconclusive() {
				answer.Stage = source.Stage
			}
			answer.Status = source.Status
			answer.Wrong = append(answer.Wrong, fmt.Sprintf("not sent: ${%s} has no value, because check %s did not give one", name, quote(source.Check)))
		}
	} else {
		answer = s.prober.probeHTTP(ctx, s.to, expanded, check.Path, s)
	}
	for _, capture := range check.Captures {
		if !slices.Contains(answer.Captures, capture.Name) {
			s.missing[capture.Name] = answer
		}
	}
	if captured := s.prober.options.Captured; captured != nil && len(answer.Wrong) > 0 {
		captured(slices.Collect(maps.Values(s.values))...)
	}
	return answer
}

// expand replaces references by the captured values, and returns the names of those that have no value.
func (s *Session) expand(check release.Check) (release.Check, []string) {
	var unset []string
	value := func(name string) string {
		text, found := s.values[name]
		if !found && !slices.Contains(unset, name) {
			unset = append(unset, name)
		}
		return text
	}
	check.Path = expandPath(check.Path, value)
	check.Body = expandText(check.Body, value)
	check.Location = expandText(check.Location, value)
	check.Headers = expandValues(check.Headers, value)
	check.Header = expandValues(check.Header, value)
	check.BodyContains = expandList(check.BodyContains, value)
	check.BodyNotContains = expandList(check.BodyNotContains, value)
	return check, unset
}

// target returns the URL of a path with its values; template is the path with the references. A path that begins with a captured value may have
// the forms of a Location header (RFC 9110, section 10.2.2): it begins at the root of the host, or is a URL of the same host.
func (s *Session) target(path, template string) (*url.URL, error) {
	if !strings.HasPrefix(template, "${") {
		return joinPath(s.to.Base, path)
	}
	base, err := parseBase(s.to.Base)
	if err != nil {
		return nil, err
	}
	base.Path, base.RawPath = "", ""
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		target, err := url.Parse(path)
		if err != nil || target.User != nil || !strings.EqualFold(target.Hostname(), base.Hostname()) {
			return nil, fmt.Errorf("path %s is not a URL of the host %s", quote(path), quote(base.Hostname()))
		}
		path = target.RequestURI()
	}
	return joinPath(base.String(), path)
}

// capture stores the values that a check captures from its response. It returns the names of those that were found, and describes those that were
// not.
func (s *Session) capture(check compiledCheck, got response) (names, wrong []string) {
	for _, capture := range check.Captures {
		value, err := captureValue(capture, check, got)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("capture %s: %s", capture.Name, err))
			continue
		}
		s.values[capture.Name] = value
		names = append(names, capture.Name)
	}
	return names, wrong
}

// maxCapture is the longest value that is captured, in bytes.
const maxCapture = 8 << 10

// captureValue finds one value. Its errors quote nothing of the response, which may contain secrets.
func captureValue(capture release.Capture, check compiledCheck, got response) (string, error) {
	value, found := "", false
	switch capture.From {
	case captureHeader:
		values := got.header.Values(capture.Value)
		if found = len(values) > 0; found {
			value = values[0]
		}
	case captureCookie:
		for _, cookie := range got.cookies {
			if cookie.Name == capture.Value {
				value, found = cookie.Value, true
			}
		}
	case captureRegex:
		if match := check.captures[capture.Name].FindSubmatch(got.body); len(match) > 1 {
			value, found = string(match[1]), true
		}
	case captureJSON:
		document, err := parseJSON(got.body)
		if got.truncated {
			return "", errTruncated
		}
		if err != nil {
			return "", errors.New("the body is not JSON")
		}
		if places := check.paths[capture.Value].Get(document); len(places) > 0 && places[0] != nil {
			if value, found = places[0].(string); !found {
				value, found = encodeJSON(places[0])
			}
		}
	}
	switch {
	case !found:
		return "", fmt.Errorf("the response has no %s %s", capture.From, quote(capture.Value))
	case value == "":
		return "", fmt.Errorf("%s %s is empty", capture.From, quote(capture.Value))
	case len(value) > maxCapture:
		return "", fmt.Errorf("%s %s is %d bytes long, limit %d", capture.From, quote(capture.Value), len(value), maxCapture)
	}
	return value, nil
}

// jar returns the session's cookies. Requests to a pod have no TLS, but they take the place of requests that reach the gateway by TLS, so the jar sends
// Secure cookies too.
func (s *Session) jar() http.CookieJar {
	if s.cookies == nil {
		jar, err := cookiejar.New(nil)
		if err != nil { // it returns none
			return nil
		}
		s.cookies = jar
		if s.to.Proto != "" {
			s.cookies = gatewayJar{CookieJar: jar, scheme: s.to.Proto}
		}
	}
	return s.cookies
}

// gatewayJar stores and sends cookies as if the requests had the gateway's scheme.
type gatewayJar struct {
	http.CookieJar
	scheme string
}

func (j gatewayJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(j.outside(u), cookies)
}

func (j gatewayJar) Cookies(u *url.URL) []*http.Cookie { return j.CookieJar.Cookies(j.outside(u)) }

func (j gatewayJar) outside(u *url.URL) *url.URL {
	outside := *u
	outside.Scheme = j.scheme
	return &outside
}
