// Package sigv4 verifies the signatures of requests to AWS, version 4: in the Authorization header or, presigned, in the query.
package sigv4

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

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
)

// signature is what a request claims: from its Authorization header or, for a presigned request, from its query.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
type signature struct {
	keyID, date, region, service string
	signed                       []string // names of the signed headers, lower-case, in the order given
	value                        string
	signedAt                     time.Time
	validFor                     time.Duration
	presigned                    bool
}

const (
	algorithm = "AWS4-HMAC-SHA256"

	// TimeFormat is the layout of X-Amz-Date.
	TimeFormat = "20060102T150405Z"

	// signatureSkew is the most that a signature's time may differ from the server's, and the time a signed request is valid.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
	signatureSkew = 5 * time.Minute
	// maxPresigned is the longest time for which a presigned request may be valid.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
	maxPresigned = 7 * 24 * time.Hour
	// MaxPresignedSTS is how long STS accepts a presigned request, whatever X-Amz-Expires says.
	// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go (presignedURLExpiration)
	MaxPresignedSTS = 15 * time.Minute
)

// Verifier accepts the requests that are signed with one pair of credentials, or with a session's, for one region.
type Verifier struct {
	AccessKeyID, SecretAccessKey string
	Region                       string
	Sessions                     *Sessions // temporary credentials that are accepted too; nil: none
}

// Verify returns nil if a request to a service carries a valid signature at the given time, and otherwise AWS's error with the
// JSON protocol's name. body is the request's whole body.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
func (v Verifier) Verify(r *http.Request, body []byte, service string, now time.Time) *awsapi.Error {
	claimed, refusal := parseSignature(r)
	if claimed.presigned && service == "sts" {
		claimed.validFor = MaxPresignedSTS
	}
	session, temporary := v.Sessions.find(claimed.keyID)
	secret := v.SecretAccessKey
	if temporary {
		secret = session.SecretAccessKey
	}
	switch {
	case refusal != nil:
		return refusal
	case temporary && sessionToken(r) != session.Token:
		return awsapi.BadRequest("UnrecognizedClientException", "The security token included in the request is invalid.")
	case temporary && !now.Before(session.Expires):
		return awsapi.BadRequest("ExpiredTokenException", "The security token included in the request is expired")
	case !temporary && claimed.keyID != v.AccessKeyID:
		return awsapi.BadRequest("UnrecognizedClientException", "The security token included in the request is invalid.")
	case claimed.region != v.Region:
		return awsapi.BadRequest("InvalidSignatureException", "Credential should be scoped to a valid region.")
	case claimed.service != service:
		return awsapi.BadRequest("InvalidSignatureException", "Credential should be scoped to correct service: '%s'.", service)
	case claimed.date != claimed.signedAt.Format("20060102"):
		return awsapi.BadRequest("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from "+
			"ISO-8601 version of date from HTTP: '%s' != '%s'.", claimed.date, claimed.signedAt.Format("20060102"))
	case now.After(claimed.signedAt.Add(claimed.validFor)):
		return awsapi.BadRequest("InvalidSignatureException", "Signature expired: %s is now earlier than %s",
			claimed.signedAt.Format(TimeFormat), now.UTC().Add(-claimed.validFor).Format(TimeFormat))
	case claimed.signedAt.After(now.Add(signatureSkew)):
		return awsapi.BadRequest("InvalidSignatureException", "Signature not yet current: %s is still later than %s",
			claimed.signedAt.Format(TimeFormat), now.UTC().Add(signatureSkew).Format(TimeFormat))
	}
	if want := claimed.compute(secret, r, body); !hmac.Equal([]byte(want), []byte(claimed.value)) {
		return awsapi.BadRequest("InvalidSignatureException", "The request signature we calculated does not match the "+
			"signature you provided. Check your AWS Secret Access Key and signing method. Consult the service "+
			"documentation for details.")
	}
	return nil
}

// parseSignature reads the signature in the Authorization header or in the query.
func parseSignature(r *http.Request) (signature, *awsapi.Error) {
	var (
		parsed           = signature{validFor: signatureSkew}
		scope, at, names string
		query            = r.URL.Query()
		header           = r.Header.Get("Authorization")
	)
	switch {
	case header != "":
		fields, found := strings.CutPrefix(header, algorithm+" ")
		if !found {
			return parsed, incompleteSignature("Unsupported or malformed authorization header")
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
			return parsed, incompleteSignature("Unsupported algorithm %q", query.Get("X-Amz-Algorithm"))
		}
		parsed.presigned = true
		scope, names, at = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Date")
		parsed.value = query.Get("X-Amz-Signature")
		parsed.validFor = 15 * time.Minute // for a query that names no expiry
		if expires := query.Get("X-Amz-Expires"); expires != "" {
			seconds, err := strconv.Atoi(expires)
			if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresigned {
				return parsed, incompleteSignature("X-Amz-Expires must be between 1 and %d seconds", int(maxPresigned.Seconds()))
			}
			parsed.validFor = time.Duration(seconds) * time.Second
		}
	default:
		return parsed, awsapi.BadRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	if missing := missingParts(map[string]string{
		"Credential": scope, "SignedHeaders": names, "Signature": parsed.value, "X-Amz-Date": at,
	}); len(missing) > 0 {
		return parsed, incompleteSignature("Authorization header requires %s parameter.", strings.Join(missing, ", "))
	}
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || slices.Contains(parts, "") || parts[4] != "aws4_request" {
		return parsed, incompleteSignature("Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/term, got '%s'", scope)
	}
	parsed.keyID, parsed.date, parsed.region, parsed.service = parts[0], parts[1], parts[2], parts[3]
	parsed.signed = strings.Split(names, ";")
	if !slices.Contains(parsed.signed, "host") {
		return parsed, incompleteSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	var err error
	if parsed.signedAt, err = time.Parse(TimeFormat, at); err != nil {
		return parsed, incompleteSignature("Date must be in ISO-8601 'basic format'. Got '%s'.", at)
	}
	return parsed, nil
}

// missingParts returns the sorted names of the parts of a signature that are empty.
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

func incompleteSignature(format string, values ...any) *awsapi.Error {
	return awsapi.BadRequest("IncompleteSignatureException", format, values...)
}

// compute returns the signature that the request should carry.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c signature) compute(secret string, r *http.Request, body []byte) string {
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
	// url.Values.Encode sorts and escapes like the canonical query, except for a space.
	query := r.URL.Query()
	query.Del("X-Amz-Signature")
	path := (&url.URL{Path: r.URL.EscapedPath()}).EscapedPath() // escaped twice, as for every service but S3
	canonical := strings.Join([]string{
		r.Method, path, strings.ReplaceAll(query.Encode(), "+", "%20"),
		headers, strings.Join(c.signed, ";"), hashHex(body),
	}, "\n")
	scope := strings.Join([]string{c.date, c.region, c.service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, c.signedAt.Format(TimeFormat), scope, hashHex([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request", text} {
		key = HMAC(key, part)
	}
	return hex.EncodeToString(key)
}

func hashHex(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// HMAC returns the HMAC-SHA256 of a text.
func HMAC(key []byte, text string) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(text))
	return hash.Sum(nil)
}
