// Package ecr is the fake ECR API.
package ecr

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
)

// Target is the prefix of X-Amz-Target in ECR's calls.
const Target = "AmazonEC2ContainerRegistry_V20150921"

// API serves ECR's API on a store. It is safe for concurrent use. Make one with New.
type API struct {
	account, region string
	verifier        sigv4.Verifier
	store           *store.Store
	issueToken      func() (password string, expires time.Time)
}

// New returns an API for one account and region. issueToken returns a password of the registry and the time at which it expires.
func New(account, region string, verifier sigv4.Verifier, images *store.Store, issueToken func() (string, time.Time)) *API {
	return &API{account: account, region: region, verifier: verifier, store: images, issueToken: issueToken}
}

// maxBody has room for PutImage with the largest manifest, every byte of it escaped.
const maxBody = 6*store.MaxManifest + 64<<10

// operation answers one call. host is the server's address in the request.
type operation func(a *API, host string, body []byte) (any, error)

// operations are ECR's calls by name.
var operations = map[string]operation{
	"GetAuthorizationToken": asJSON((*API).getAuthorizationToken),
	"CreateRepository":      asJSON((*API).createRepository),
	"DescribeRepositories":  asJSON((*API).describeRepositories),
	"DeleteRepository":      asJSON((*API).deleteRepository),
	"PutImageTagMutability": asJSON((*API).putImageTagMutability),
	"DescribeImages":        asJSON((*API).describeImages),
	"ListImages":            asJSON((*API).listImages),
	"BatchGetImage":         asJSON((*API).batchGetImage),
	"PutImage":              asJSON((*API).putImage),
	"BatchDeleteImage":      asJSON((*API).batchDeleteImage),
}

// asJSON makes an operation from a method whose input is a struct. Unknown members are ignored, as AWS ignores members of a newer
// model.
func asJSON[In any](method func(a *API, host string, in In) (any, error)) operation {
	return func(a *API, host string, body []byte) (any, error) {
		var in In
		if err := decodeJSON(body, &in); err != nil {
			return nil, err
		}
		return method(a, host, in)
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
		return awsapi.BadRequest("SerializationException", "Start of structure expected")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return awsapi.BadRequest("SerializationException", "%v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return awsapi.BadRequest("SerializationException", "Unexpected text after the structure")
	}
	return nil
}

// Serve answers a call of AWS JSON 1.1. The signature must be for service, which is "" for a call that is not ECR's.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, service, name string) {
	body, ok := awsapi.ReadBody(r, maxBody)
	switch {
	case !ok:
		awsapi.WriteError(w, awsapi.NewError(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"The request is longer than %d bytes or was cut off.", maxBody))
		return
	case service == "":
		awsapi.WriteError(w, awsapi.BadRequest("UnknownOperationException", "The request names no operation of this server."))
		return
	}
	if refusal := a.verifier.Verify(r, body, service, time.Now()); refusal != nil {
		awsapi.WriteError(w, refusal)
		return
	}
	perform, known := operations[name]
	if !known || r.Method != http.MethodPost {
		awsapi.WriteError(w, awsapi.BadRequest("UnknownOperationException", "%s %q is not an operation of this server.",
			r.Method, r.Header.Get("X-Amz-Target")))
		return
	}
	out, err := perform(a, r.Host, body)
	if err != nil {
		awsapi.WriteError(w, awsapi.AsError(err))
		return
	}
	awsapi.WriteJSON(w, http.StatusOK, awsapi.AmzJSONType, out)
}

// refusalError returns the API's error for a *store.Refusal; any other error is returned unchanged.
func refusalError(err error) error {
	var refused *store.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	return awsapi.BadRequest(refused.Kind.APIName(), "%s", refused)
}
