// Package sts is the fake STS: GetCallerIdentity and AssumeRoleWithWebIdentity in the query protocol.
package sts

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"

	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	formType = "application/x-www-form-urlencoded"

	maxFormBytes = 64 << 10
)

// API serves STS for one user.
type API struct {
	Account   string
	Principal string // ARN of the user
	Verifier  sigv4.Verifier
	Roles     *Roles
}

// Operation returns the operation that a request of the query protocol names, in its query or in its form; false if it names none.
// A form is read and restored.
func Operation(r *http.Request) (string, bool) {
	if action := r.URL.Query().Get("Action"); action != "" {
		return action, true
	}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); mediaType == formType {
		return peekForm(r).Get("Action"), true
	}
	return "", false
}

// peekForm parses a form and restores the body.
func peekForm(r *http.Request) url.Values {
	body, ok := awsapi.ReadBody(r, maxFormBytes)
	if !ok {
		return nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return form
}

// Serve answers a call of the query protocol: a signed form, or a presigned GET.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (a API) Serve(w http.ResponseWriter, r *http.Request, operation string) {
	body, ok := awsapi.ReadBody(r, maxFormBytes)
	if !ok {
		writeError(w, awsapi.BadRequest("MalformedQueryString", "The form is longer than %d bytes or was cut off.", maxFormBytes))
		return
	}
	if form := peekForm(r); operation == "AssumeRoleWithWebIdentity" && r.Method == http.MethodPost && form.Get("Version") == version {
		a.assumeWithWebIdentity(w, form)
		return
	}
	if refusal := a.Verifier.Verify(r, body, "sts", time.Now()); refusal != nil {
		writeError(w, refusal)
		return
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		form = peekForm(r)
	}
	if operation != "GetCallerIdentity" || form.Get("Version") != version {
		writeError(w, awsapi.BadRequest("InvalidAction", "Could not find operation %s for version %s",
			operation, form.Get("Version")))
		return
	}
	principal := a.Principal
	if session := a.Verifier.Principal(r); session != "" {
		principal = session
	}
	writeXML(w, http.StatusOK, callerIdentity{
		Namespace: namespace, Account: a.Account, UserID: a.Verifier.AccessKeyID,
		Arn: principal, RequestID: requestID,
	})
}

const (
	version   = "2011-06-15"
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	requestID = "00000000-0000-0000-0000-000000000000"
)

type callerIdentity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// queryErrors are the query protocol's status and name for errors that have others in the JSON protocol.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and, for the signature,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
var queryErrors = map[string]awsapi.Error{
	"MissingAuthenticationTokenException": {Status: http.StatusForbidden, Name: "MissingAuthenticationToken"},
	"IncompleteSignatureException":        {Status: http.StatusBadRequest, Name: "IncompleteSignature"},
	"UnrecognizedClientException":         {Status: http.StatusForbidden, Name: "InvalidClientTokenId"},
	"InvalidSignatureException":           {Status: http.StatusForbidden, Name: "SignatureDoesNotMatch"},
}

// writeError writes an error in the query protocol's form.
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html, "Operation error serialization"
func writeError(w http.ResponseWriter, failure *awsapi.Error) {
	status, name := failure.Status, failure.Name
	if renamed, found := queryErrors[name]; found {
		status, name = renamed.Status, renamed.Name
	}
	writeXML(w, status, errorResponse{Namespace: namespace, Type: "Sender", Code: name,
		Message: failure.Message, RequestID: requestID})
}

func writeXML(w http.ResponseWriter, status int, value any) {
	body, err := xml.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(strings.TrimSpace(xml.Header))
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
