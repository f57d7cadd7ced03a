package localaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// apiError is an error of an AWS API: a name that callers branch on, and a message for people.
type apiError struct {
	status  int
	name    string // as the JSON protocol has it
	message string
}

func (e *apiError) Error() string { return e.name + ": " + e.message }

func badRequest(name, format string, values ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, name: name, message: fmt.Sprintf(format, values...)}
}

// maxAPIBody leaves room for PutImage's largest manifest, every byte of it escaped.
const maxAPIBody = 6*maxManifest + 64<<10

// operation answers one API call. host is what the caller reached the server by.
type operation func(s *Server, host string, body []byte) (any, error)

// jsonOperations are the calls of the services that speak AWS JSON 1.1, by service and name. A service is added here,
// its target prefix to parseCall.
var jsonOperations = map[string]map[string]operation{
	ecrService: {
		"GetAuthorizationToken": asJSON((*Server).getAuthorizationToken),
		"CreateRepository":      asJSON((*Server).createRepository),
		"DescribeRepositories":  asJSON((*Server).describeRepositories),
		"DeleteRepository":      asJSON((*Server).deleteRepository),
		"PutImageTagMutability": asJSON((*Server).putImageTagMutability),
		"DescribeImages":        asJSON((*Server).describeImages),
		"ListImages":            asJSON((*Server).listImages),
		"BatchGetImage":         asJSON((*Server).batchGetImage),
		"PutImage":              asJSON((*Server).putImage),
		"BatchDeleteImage":      asJSON((*Server).batchDeleteImage),
	},
}

// asJSON makes an operation of a method that takes its input as a struct. Members it has no field for are ignored, as
// AWS ignores those of a newer model.
func asJSON[In any](method func(s *Server, host string, in In) (any, error)) operation {
	return func(s *Server, host string, body []byte) (any, error) {
		var in In
		if err := decodeJSON(body, &in); err != nil {
			return nil, err
		}
		return method(s, host, in)
	}
}

// decodeJSON reads one JSON object; an empty body is an empty object.
// Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func decodeJSON(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		return badRequest("SerializationException", "Start of structure expected")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return badRequest("SerializationException", "%v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("SerializationException", "Unexpected text after the structure")
	}
	return nil
}

// serveAPI answers an API call in its service's protocol: AWS JSON 1.1 for ECR, the query protocol for STS, REST-JSON
// for EKS.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, asked call) {
	switch asked.service {
	case stsService:
		s.serveSTS(w, r, asked)
		return
	case eksService:
		s.serveEKS(w, r, asked)
		return
	}
	body, ok := readBody(r, maxAPIBody)
	switch {
	case !ok:
		writeAPIError(w, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			fmt.Sprintf("The request is longer than %d bytes or broke off.", maxAPIBody)})
		return
	case asked.service == "":
		writeAPIError(w, badRequest("UnknownOperationException", "The request names no operation of this server."))
		return
	}
	if refusal := s.authenticate(r, body, asked.service, time.Now()); refusal != nil {
		writeAPIError(w, refusal)
		return
	}
	perform, known := jsonOperations[asked.service][asked.operation]
	if !known || r.Method != http.MethodPost {
		writeAPIError(w, badRequest("UnknownOperationException", "%s %q is not an operation of this server.",
			r.Method, r.Header.Get("X-Amz-Target")))
		return
	}
	out, err := perform(s, r.Host, body)
	if err != nil {
		writeAPIError(w, asAPIError(err))
		return
	}
	writeJSON(w, http.StatusOK, amzJSONType, out)
}

const amzJSONType = "application/x-amz-json-1.1"

func asAPIError(err error) *apiError {
	var known *apiError
	if errors.As(err, &known) {
		return known
	}
	return &apiError{http.StatusInternalServerError, "ServerException", err.Error()}
}

// writeAPIError words an error in the JSON protocol's form.
// Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, "Operation error serialization"
func writeAPIError(w http.ResponseWriter, failure *apiError) {
	w.Header().Set("X-Amzn-Errortype", failure.name)
	writeJSON(w, failure.status, amzJSONType, map[string]string{"__type": failure.name, "message": failure.message})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// epoch is a time as AWS JSON writes it: seconds since 1970, with milliseconds.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
