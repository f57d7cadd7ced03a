// Package awsapi holds what the fake AWS APIs share: errors in the JSON protocol's terms, bounded bodies, JSON answers.
package awsapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The content types of the two JSON protocols, and of the registry.
const (
	JSONType    = "application/json; charset=utf-8"
	AmzJSONType = "application/x-amz-json-1.1"
)

// Error is an error of an AWS API: a name that callers branch on, and a message for people.
type Error struct {
	Status  int    // HTTP status in the JSON protocol
	Name    string // in the JSON protocol's spelling
	Message string
}

// Error returns the name and the message.
func (e *Error) Error() string { return e.Name + ": " + e.Message }

// NewError returns an error with a formatted message.
func NewError(status int, name, format string, values ...any) *Error {
	return &Error{Status: status, Name: name, Message: fmt.Sprintf(format, values...)}
}

// BadRequest returns an error with HTTP status 400.
func BadRequest(name, format string, values ...any) *Error {
	return NewError(http.StatusBadRequest, name, format, values...)
}

// InvalidParameter returns ECR's error for a member with a bad value.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html (InvalidParameterException)
func InvalidParameter(member, why string) *Error {
	return BadRequest("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", member, why)
}

// AsError returns the Error that err wraps, or a ServerException with HTTP status 500.
func AsError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return NewError(http.StatusInternalServerError, "ServerException", "%s", err)
}

// WriteError writes an error in the form of AWS JSON 1.1.
// Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, "Operation error serialization"
func WriteError(w http.ResponseWriter, failure *Error) {
	w.Header().Set("X-Amzn-Errortype", failure.Name)
	WriteJSON(w, failure.Status, AmzJSONType, map[string]string{"__type": failure.Name, "message": failure.Message})
}

// WriteJSON writes a value as the whole answer. A value that cannot be encoded becomes an empty object with HTTP status 500.
func WriteJSON(w http.ResponseWriter, status int, contentType string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Epoch returns a time as AWS JSON encodes it: seconds since 1970, with milliseconds.
func Epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// ReadBody reads a body of at most limit bytes and restores it, so that it can be read again. It returns false for a longer
// body and for one that fails halfway; such a body fails again when it is read again.
func ReadBody(r *http.Request, limit int64) ([]byte, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil || int64(len(body)) > limit {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body, FailingReader{}))
		return nil, false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, true
}

// FailingReader is the end of a body that is cut off: every read fails with io.ErrUnexpectedEOF.
type FailingReader struct{}

// Read fails.
func (FailingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
