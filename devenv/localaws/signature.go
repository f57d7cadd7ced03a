package localaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A request's signature, from its Authorization header or, for a presigned one, from its query.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
type signature struct {
	keyID, date, region, service string
	signed                       []string // names of the signed headers, lower-case, in the order given
	value                        string
	at                           time.Time
	life                         time.Duration
	presigned                    bool
}

const (
	algorithm = "AWS4-HMAC-SHA256"
	amzTime   = "20060102T150405Z"

	// signatureSkew is how far a signature's time may lie from the server's, and how long a signed request is good.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
	signatureSkew = 5 * time.Minute
	// maxPresigned is the longest life of a presigned request.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
	maxPresigned = 7 * 24 * time.Hour
	// stsPresigned is how long STS takes a presigned request, whatever X-Amz-Expires says.
	// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go (presignedURLExpiration)
	stsPresigned = 15 * time.Minute
)

// authenticate tells whether a request to a service is signed, rightly and lately, with the server's one key. The
// service's protocol gives the error its form; its name is the JSON protocol's.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
func (s *Server) authenticate(r *http.Request, body []byte, service string, now time.Time) *apiError {
	claimed, refusal := parseSignature(r)
	if claimed.presigned && service == stsService {
		claimed.life = stsPresigned
	}
	switch {
	case refusal != nil:
		return refusal
	case claimed.keyID != s.options.AccessKeyID:
		return badRequest("UnrecognizedClientException", "The security token included in the request is invalid.")
	case claimed.region != s.options.Region:
		return badRequest("InvalidSignatureException", "Credential should be scoped to a valid region.")
	case claimed.service != service:
		return badRequest("InvalidSignatureException", "Credential should be scoped to correct service: '%s'.", service)
	case claimed.date != claimed.at.Format("20060102"):
		return badRequest("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from "+
			"ISO-8601 version of date from HTTP: '%s' != '%s'.", claimed.date, claimed.at.Format("20060102"))
	case now.After(claimed.at.Add(claimed.life)):
		return badRequest("InvalidSignatureException", "Signature expired: %s is now earlier than %s",
			claimed.at.Format(amzTime), now.UTC().Add(-claimed.life).Format(amzTime))
	case claimed.at.After(now.Add(signatureSkew)):
		return badRequest("InvalidSignatureException", "Signature not yet current: %s is still later than %s",
			claimed.at.Format(amzTime), now.UTC().Add(signatureSkew).Format(amzTime))
	}
	if want := claimed.sign(s.options.SecretAccessKey, r, body); !hmac.Equal([]byte(want), []byte(claimed.value)) {
		return badRequest("InvalidSignatureException", "The request signature we calculated does not match the "+
			"signature you provided. Check your AWS Secret Access Key and signing method. Consult the service "+
			"documentation for details.")
	}
	return nil
}

func parseSignature(r *http.Request) (signature, *apiError) {
	var (
		parsed           = signature{life: signatureSkew}
		scope, at, names string
		query            = r.URL.Query()
		header           = r.Header.Get("Authorization")
	)
	switch {
	case header != "":
		fields, found := strings.CutPrefix(header, algorithm+" ")
		if !found {
			return parsed, incomplete("Unsupported or malformed authorization header")
		}
		for _, field := range strings.Split(fields, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			switch name {
			case "Credential":
				scope = value
			case "SignedHeaders":
				names = value
			case "Signature":
				parsed.value = value
			}
		}
		at = r.Header.Get("X-Amz-Date")
	case query.Get("X-Amz-Signature") != "" || query.Get("X-Amz-Algorithm") != "":
		if query.Get("X-Amz-Algorithm") != algorithm {
			return parsed, incomplete("Unsupported algorithm %q", query.Get("X-Amz-Algorithm"))
		}
		parsed.presigned = true
		scope, names, at = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Date")
		parsed.value = query.Get("X-Amz-Signature")
		parsed.life = 15 * time.Minute // for a query that names no expiry
		if expires := query.Get("X-Amz-Expires"); expires != "" {
			seconds, err := strconv.Atoi(expires)
			if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresigned {
				return parsed, incomplete("X-Amz-Expires must be between 1 and %d seconds", int(maxPresigned.Seconds()))
			}
			parsed.life = time.Duration(seconds) * time.Second
		}
	default:
		return parsed, badRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	if missing := missingParts(map[string]string{
		"Credential": scope, "SignedHeaders": names, "Signature": parsed.value, "X-Amz-Date": at,
	}); len(missing) > 0 {
		return parsed, incomplete("Authorization header requires %s parameter.", strings.Join(missing, ", "))
	}
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || slices.Contains(parts, "") || parts[4] != "aws4_request" {
		return parsed, incomplete("Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/term, got '%s'", scope)
	}
	parsed.keyID, parsed.date, parsed.region, parsed.service = parts[0], parts[1], parts[2], parts[3]
	parsed.signed = strings.Split(names, ";")
	if !slices.Contains(parsed.signed, "host") {
		return parsed, incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	var err error
	if parsed.at, err = time.Parse(amzTime, at); err != nil {
		return parsed, incomplete("Date must be in ISO-8601 'basic format'. Got '%s'.", at)
	}
	return parsed, nil
}

func missingParts(parts map[string]string) []string {
	var missing []string
	for name, value := range parts {
		if value == "" {
			missing = append(missing, "'"+name+"'")
		}
	}
	slices.Sort(missing)
	return missing
}

func incomplete(format string, values ...any) *apiError {
	return badRequest("IncompleteSignatureException", format, values...)
}

// sign calculates the signature that the request should carry.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c signature) sign(secret string, r *http.Request, body []byte) string {
	headers := ""
	for _, name := range c.signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers += name + ":" + strings.Join(strings.Fields(value), " ") + "\n"
	}
	// url.Values.Encode sorts and escapes as the canonical query wants, a space aside.
	query := r.URL.Query()
	query.Del("X-Amz-Signature")
	path := (&url.URL{Path: r.URL.EscapedPath()}).EscapedPath() // escaped twice, as every service but S3 has it
	canonical := strings.Join([]string{
		r.Method, path, strings.ReplaceAll(query.Encode(), "+", "%20"),
		headers, strings.Join(c.signed, ";"), hashHex(body),
	}, "\n")
	scope := strings.Join([]string{c.date, c.region, c.service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, c.at.Format(amzTime), scope, hashHex([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request", text} {
		key = mac(key, part)
	}
	return hex.EncodeToString(key)
}

func hashHex(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

func mac(key []byte, text string) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(text))
	return hash.Sum(nil)
}
