package awsapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Operation answers one call of an API of AWS JSON 1.1. host is the server's address in the request.
type Operation[API any] func(api API, host string, body []byte) (any, error)

// AsJSON makes an operation from a method whose input is a struct. Unknown members are ignored, as AWS ignores members of a newer
// model.
func AsJSON[API, In any](method func(api API, host string, in In) (any, error)) Operation[API] {
	return func(api API, host string, body []byte) (any, error) {
		var in In
		if err := decodeJSON(body, &in); err != nil {
			return nil, err
		}
		return method(api, host, in)
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
		return BadRequest("SerializationException", "Start of structure expected")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return BadRequest("SerializationException", "%v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return BadRequest("SerializationException", "Unexpected text after the structure")
	}
	return nil
}

// ServeJSON answers a call of AWS JSON 1.1 whose body is at most maxBody bytes long and which verify does not refuse.
func ServeJSON[API any](w http.ResponseWriter, r *http.Request, api API, name string, operations map[string]Operation[API], maxBody int64, verify func(body []byte) *Error) {
	body, ok := ReadBody(r, maxBody)
	if !ok {
		WriteError(w, NewError(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"The request is longer than %d bytes or was cut off.", maxBody))
		return
	}
	if refusal := verify(body); refusal != nil {
		WriteError(w, refusal)
		return
	}
	perform, known := operations[name]
	if !known || r.Method != http.MethodPost {
		WriteError(w, BadRequest("UnknownOperationException", "%s %q is not an operation of this server.",
			r.Method, r.Header.Get("X-Amz-Target")))
		return
	}
	out, err := perform(api, r.Host, body)
	if err != nil {
		WriteError(w, AsError(err))
		return
	}
	WriteJSON(w, http.StatusOK, AmzJSONType, out)
}
