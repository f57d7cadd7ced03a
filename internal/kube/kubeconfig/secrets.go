package kubeconfig

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

// CollectSecrets makes every client of a configuration add to secrets what it sends as credentials, and what it reads of Secrets.
func CollectSecrets(config *rest.Config, secrets *text.Secrets) {
	if secrets == nil {
		return
	}
	collectConfig(config, secrets)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &secretCollector{next: httpx.CollectCredentials(next, secrets), secrets: secrets}
	})
}

// collectConfig adds the credentials of a configuration.
func collectConfig(config *rest.Config, secrets *text.Secrets) {
	secrets.Add(config.BearerToken, config.Password, string(config.KeyData))
	for _, file := range []string{config.BearerTokenFile, config.KeyFile} {
		if content, err := os.ReadFile(file); file != "" && err == nil && len(content) < maxKeyFile {
			secrets.Add(string(content))
		}
	}
	if config.ExecProvider != nil {
		collectVariables(config.ExecProvider.Env, secrets)
	}
}

// maxKeyFile bounds a file with a token or a key, in bytes.
const maxKeyFile = 1 << 20

// collectKubeconfig adds the credentials of all users of a kubeconfig: an error may quote any of them.
func collectKubeconfig(kubeconfig *api.Config, secrets *text.Secrets) {
	for _, user := range kubeconfig.AuthInfos {
		secrets.Add(user.Token, user.Password, string(user.ClientKeyData))
		if user.Exec != nil {
			collectVariables(user.Exec.Env, secrets)
		}
		if user.AuthProvider != nil {
			for name, value := range user.AuthProvider.Config {
				if text.NamesSecret(name) {
					secrets.Add(value)
				}
			}
		}
	}
}

// collectVariables adds the environment variables of a credential plugin.
func collectVariables(variables []api.ExecEnvVar, secrets *text.Secrets) {
	for _, variable := range variables {
		if text.NamesSecret(variable.Name) {
			secrets.Add(variable.Value)
		} else {
			secrets.AddPossible(variable.Value)
		}
	}
}

// secretCollector adds the values of the Secrets that a cluster returns.
type secretCollector struct {
	next    http.RoundTripper
	secrets *text.Secrets
}

// WrappedRoundTripper lets client-go find the transport that holds the connections.
func (c *secretCollector) WrappedRoundTripper() http.RoundTripper { return c.next }

// secretPath matches the paths of Secrets. Source: kubernetes.io, "Kubernetes API Concepts", resource URIs.
var secretPath = regexp.MustCompile(`/api/v1/(namespaces/[^/]+/)?secrets(/[^/]+)?$`)

// maxSecrets bounds the answers that are searched, in bytes. A Secret has at most 1 MiB.
const maxSecrets = 64 << 20

// RoundTrip sends a request and adds the values of every Secret in the answer to get or list. It does not read watches.
func (c *secretCollector) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err != nil || response.StatusCode >= http.StatusBadRequest || !secretPath.MatchString(request.URL.Path) || request.URL.Query().Get("watch") != "" {
		return response, err
	}
	content, err := httpx.ReadAll(response.Body, maxSecrets)
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = &readBody{Reader: bytes.NewReader(content), Closer: response.Body}
	for _, secret := range secretsIn(content) {
		c.add(secret)
	}
	return response, nil
}

// protobuf begins an answer in the encoding of Protocol Buffers, which typed clients ask for. Source: kubernetes.io, "Kubernetes API Concepts",
// "Protobuf encoding".
var protobuf = []byte("k8s\x00")

// secretsIn returns the Secrets of an answer: one, or those of a list.
func secretsIn(content []byte) []core.Secret {
	if envelope, is := bytes.CutPrefix(content, protobuf); is {
		var (
			unknown runtime.Unknown
			secret  core.Secret
			list    core.SecretList
		)
		switch {
		case unknown.Unmarshal(envelope) != nil:
			return nil
		case unknown.Kind == "SecretList" && list.Unmarshal(unknown.Raw) == nil:
			return list.Items
		case unknown.Kind == "Secret" && secret.Unmarshal(unknown.Raw) == nil:
			return []core.Secret{secret}
		}
		return nil
	}
	var list struct {
		core.Secret
		Items []core.Secret `json:"items"`
	}
	if json.Unmarshal(content, &list) != nil {
		return nil
	}
	return append(list.Items, list.Secret)
}

// helmRecord is the type of the Secrets in which Helm keeps its records. internal/helm adds what the manifests in them contain.
const helmRecord = "helm.sh/release.v1"

// add adds the values of a Secret, except those of Helm's records.
func (c *secretCollector) add(secret core.Secret) {
	if secret.Type == helmRecord {
		return
	}
	for _, value := range secret.Data {
		c.secrets.Add(string(value))
	}
	for _, value := range secret.StringData {
		c.secrets.Add(value)
	}
}

// readBody is a response's body that was read and can be read again.
type readBody struct {
	io.Reader
	io.Closer
}

// collectMalformed adds everything that kubeconfig files which cannot be parsed assign: the parser's error may quote it.
func collectMalformed(files []string, secrets *text.Secrets) {
	for _, file := range files {
		if content, err := os.ReadFile(file); err == nil && len(content) < maxKeyFile {
			secrets.AddPossible(text.Scalars(string(content))...)
		}
	}
}
