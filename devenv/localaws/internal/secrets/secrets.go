// Package secrets fakes what reads secrets: GetSecretValue of Secrets Manager, GetParameter and GetParameters of Systems Manager's
// parameter store.
package secrets

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// The prefixes of X-Amz-Target, and the names of the services in a signature.
const (
	ManagerTarget   = "secretsmanager"
	ManagerService  = "secretsmanager"
	ParameterTarget = "AmazonSSM"
	ParameterSigner = "ssm"
)

// API serves both services. It is safe for concurrent use. Make one with New.
type API struct {
	account, region string
	verifier        sigv4.Verifier

	mu         sync.Mutex
	secrets    map[string]string // by name
	parameters map[string]string // by name; each is a SecureString
}

// New returns an API of one account and region that holds nothing.
func New(account, region string, verifier sigv4.Verifier) *API {
	return &API{account: account, region: region, verifier: verifier, secrets: map[string]string{}, parameters: map[string]string{}}
}

// PutSecret sets the current version of a secret.
func (a *API) PutSecret(name, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets[name] = value
}

// PutParameter sets a parameter of the type SecureString.
func (a *API) PutParameter(name, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parameters[name] = value
}

const maxBody = 64 << 10

// operations are the calls of both services, below the name that a signature gives the service.
var operations = map[string]map[string]awsapi.Operation[*API]{
	ManagerService:  {"GetSecretValue": awsapi.AsJSON((*API).getSecretValue)},
	ParameterSigner: {"GetParameter": awsapi.AsJSON((*API).getParameter), "GetParameters": awsapi.AsJSON((*API).getParameters)},
}

// Serve answers a call of AWS JSON 1.1 to an operation of one of the services.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, service, operation string) {
	awsapi.ServeJSON(w, r, a, operation, operations[service], maxBody, func(body []byte) *awsapi.Error { return a.verifier.Verify(r, body, service, time.Now()) })
}

type secretInput struct{ SecretId, VersionId, VersionStage string } //nolint:revive,staticcheck // AWS's spelling

// getSecretValue returns the current version of a secret, by name or ARN. There are no other versions.
// Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (a *API) getSecretValue(_ string, in secretInput) (any, error) {
	if in.SecretId == "" || len(in.SecretId) > 2048 {
		return nil, awsapi.BadRequest("InvalidParameterException", "Invalid length for parameter SecretId")
	}
	name, isOurs := a.secretName(in.SecretId)
	a.mu.Lock()
	value, found := a.secrets[name]
	a.mu.Unlock()
	switch {
	case !isOurs || !found:
		return nil, awsapi.BadRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case in.VersionStage != "" && in.VersionStage != "AWSCURRENT" || in.VersionId != "":
		return nil, awsapi.BadRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", in.VersionStage)
	}
	return map[string]any{"ARN": a.secretARN(name), "Name": name, "SecretString": value, "VersionStages": []string{"AWSCURRENT"},
		"VersionId": "00000000-0000-4000-8000-000000000000", "CreatedDate": 0}, nil
}

// arnSuffix is what AWS adds to the name in a secret's ARN: a hyphen and six random characters.
// Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html, "Secrets Manager resources"
const arnSuffix = "-AbCdEf"

func (a *API) secretARN(name string) string {
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s%s", a.region, a.account, name, arnSuffix)
}

// secretName returns the name in an identifier, and false for the ARN of another account, region or suffix.
func (a *API) secretName(id string) (string, bool) {
	if !strings.HasPrefix(id, "arn:") {
		return id, true
	}
	prefix := strings.TrimSuffix(a.secretARN(""), arnSuffix)
	name, isOurs := strings.CutPrefix(id, prefix)
	name, isWhole := strings.CutSuffix(name, arnSuffix)
	return name, isOurs && isWhole
}

// parameter describes a parameter, whose name may have the selector of its only version, ":1". Without decryption a SecureString's value is a ciphertext.
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_Parameter.html
func (a *API) parameter(name string, decrypted bool) (map[string]any, bool) {
	name, version, selected := strings.Cut(name, ":")
	a.mu.Lock()
	value, found := a.parameters[name]
	a.mu.Unlock()
	if !decrypted {
		value = "AQICAHencrypted"
	}
	described := map[string]any{"Name": name, "Type": "SecureString", "Value": value, "Version": 1, "DataType": "text", "LastModifiedDate": 0,
		"ARN": fmt.Sprintf("arn:aws:ssm:%s:%s:parameter/%s", a.region, a.account, strings.TrimPrefix(name, "/"))}
	if selected {
		described["Selector"] = ":" + version
	}
	return described, found && (!selected || version == "1")
}

type parameterInput struct {
	Name           string
	Names          []string
	WithDecryption bool
}

// getParameter returns one parameter.
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
func (a *API) getParameter(_ string, in parameterInput) (any, error) {
	found, ok := a.parameter(in.Name, in.WithDecryption)
	if !ok {
		return nil, awsapi.BadRequest("ParameterNotFound", "")
	}
	return map[string]any{"Parameter": found}, nil
}

// getParameters returns up to ten parameters, and lists the names of those that do not exist.
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
func (a *API) getParameters(_ string, in parameterInput) (any, error) {
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, awsapi.BadRequest("ValidationException", "1 validation error detected: Value '%v' at 'names' failed to satisfy constraint: "+
			"Member must have length less than or equal to 10", in.Names)
	}
	parameters, invalid := []any{}, []string{}
	for _, name := range in.Names {
		if found, ok := a.parameter(name, in.WithDecryption); ok {
			parameters = append(parameters, found)
		} else {
			invalid = append(invalid, name)
		}
	}
	return map[string]any{"Parameters": parameters, "InvalidParameters": invalid}, nil
}
