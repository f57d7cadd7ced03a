// Package ecr is the fake ECR API.
package ecr

import (
	"errors"
	"net/http"
	"sync"
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

	mu       sync.Mutex        // guards the maps
	scanned  map[string]bool   // repositories whose images are scanned when they are pushed
	policies map[string]string // lifecycle policies by repository
	scans    map[string]Scan   // by repository@digest
}

// New returns an API for one account and region. issueToken returns a password of the registry and the time at which it expires.
func New(account, region string, verifier sigv4.Verifier, images *store.Store, issueToken func() (string, time.Time)) *API {
	return &API{account: account, region: region, verifier: verifier, store: images, issueToken: issueToken,
		scanned: map[string]bool{}, policies: map[string]string{}, scans: map[string]Scan{}}
}

// maxBody has room for PutImage with the largest manifest, every byte of it escaped.
const maxBody = 6*store.MaxManifest + 64<<10

// operations are ECR's calls by name.
var operations = map[string]awsapi.Operation[*API]{
	"GetAuthorizationToken":     awsapi.AsJSON((*API).getAuthorizationToken),
	"CreateRepository":          awsapi.AsJSON((*API).createRepository),
	"DescribeRepositories":      awsapi.AsJSON((*API).describeRepositories),
	"DeleteRepository":          awsapi.AsJSON((*API).deleteRepository),
	"PutLifecyclePolicy":        awsapi.AsJSON((*API).putLifecyclePolicy),
	"GetLifecyclePolicy":        awsapi.AsJSON((*API).getLifecyclePolicy),
	"DescribeImageScanFindings": awsapi.AsJSON((*API).describeImageScanFindings),
	"PutImageTagMutability":     awsapi.AsJSON((*API).putImageTagMutability),
	"DescribeImages":            awsapi.AsJSON((*API).describeImages),
	"ListImages":                awsapi.AsJSON((*API).listImages),
	"ListImageReferrers":        awsapi.AsJSON((*API).listImageReferrers),
	"BatchGetImage":             awsapi.AsJSON((*API).batchGetImage),
	"PutImage":                  awsapi.AsJSON((*API).putImage),
	"BatchDeleteImage":          awsapi.AsJSON((*API).batchDeleteImage),
}

// Serve answers a call of AWS JSON 1.1. The signature must be for service, which is "" for a call that is of no API.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, service, name string) {
	if service == "" {
		awsapi.WriteError(w, awsapi.BadRequest("UnknownOperationException", "The request names no operation of this server."))
		return
	}
	awsapi.ServeJSON(w, r, a, name, operations, maxBody, func(body []byte) *awsapi.Error {
		return a.verifier.Verify(r, body, service, time.Now())
	})
}

// refusalError returns the API's error for a *store.Refusal; any other error is returned unchanged.
func refusalError(err error) error {
	var refused *store.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	return awsapi.BadRequest(refused.Kind.APIName(), "%s", refused)
}
