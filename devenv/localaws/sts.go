package localaws

import (
	"encoding/xml"
	"net/http"
	"strings"
	"time"
)

// serveSTS answers the query protocol: a signed form, or a presigned GET.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (s *Server) serveSTS(w http.ResponseWriter, r *http.Request, asked call) {
	body, ok := readBody(r, maxFormBytes)
	if !ok {
		writeSTSError(w, badRequest("MalformedQueryString", "The form is longer than %d bytes or broke off.", maxFormBytes))
		return
	}
	if refusal := s.authenticate(r, body, stsService, time.Now()); refusal != nil {
		writeSTSError(w, refusal)
		return
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		form = peekForm(r)
	}
	if asked.operation != "GetCallerIdentity" || form.Get("Version") != stsVersion {
		writeSTSError(w, badRequest("InvalidAction", "Could not find operation %s for version %s",
			asked.operation, form.Get("Version")))
		return
	}
	writeXML(w, http.StatusOK, callerIdentity{
		Namespace: stsNamespace, Account: s.options.Account, UserID: s.options.AccessKeyID,
		Arn: s.Principal(), RequestID: requestID,
	})
}

// Principal is the ARN of the one user that the server's credentials belong to.
func (s *Server) Principal() string { return "arn:aws:iam::" + s.options.Account + ":user/localaws" }

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	requestID    = "00000000-0000-0000-0000-000000000000"
)

type callerIdentity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type stsError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// stsNames are the query protocol's names for what the JSON protocol calls otherwise, all HTTP 403 but the incomplete.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and, for the signature,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
var stsNames = map[string]apiError{
	"MissingAuthenticationTokenException": {status: http.StatusForbidden, name: "MissingAuthenticationToken"},
	"IncompleteSignatureException":        {status: http.StatusBadRequest, name: "IncompleteSignature"},
	"UnrecognizedClientException":         {status: http.StatusForbidden, name: "InvalidClientTokenId"},
	"InvalidSignatureException":           {status: http.StatusForbidden, name: "SignatureDoesNotMatch"},
}

// writeSTSError words an error in the query protocol's form.
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html, "Operation error serialization"
func writeSTSError(w http.ResponseWriter, failure *apiError) {
	status, name := failure.status, failure.name
	if named, found := stsNames[name]; found {
		status, name = named.status, named.name
	}
	writeXML(w, status, stsError{Namespace: stsNamespace, Type: "Sender", Code: name,
		Message: failure.message, RequestID: requestID})
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
