// Package authenticator configures a sandbox's API server to authenticate users by a token webhook, as an EKS cluster does for IAM,
// and grants them their roles.
package authenticator

import (
	"fmt"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig renders the API server's configuration of the webhook: the path of the webhook's URL, at an address inside the node
// that is forwarded to the URL's host.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
func Kubeconfig(webhook, address string) ([]byte, error) {
	parsed, err := url.Parse(webhook)
	if err != nil {
		return nil, fmt.Errorf("reading the token webhook %q: %w", webhook, err)
	}
	parsed.Host = address
	config := api.NewConfig()
	config.Clusters["webhook"] = &api.Cluster{Server: parsed.String()}
	config.AuthInfos["apiserver"] = &api.AuthInfo{}
	config.Contexts["webhook"] = &api.Context{Cluster: "webhook", AuthInfo: "apiserver"}
	config.CurrentContext = "webhook"
	return clientcmd.Write(*config)
}

// Flags returns the API server's flags for the webhook of a kubeconfig. A refused token may be tried again after a second. An
// accepted token stays accepted for 10 s, whatever the flag's value, because the API server caches every answer for that long.
func Flags(kubeconfig string) []string {
	return []string{
		"--authentication-token-webhook-config-file=" + kubeconfig,
		"--authentication-token-webhook-version=v1",
		"--authentication-token-webhook-cache-ttl=1s",
	}
}
