// Package authenticator lets a sandbox's API server know its users by a token webhook, as an EKS cluster knows those of
// IAM, and says what they may do.
package authenticator

import (
	"fmt"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig renders what tells the API server where its webhook is: the path of the webhook's URL, at an address inside
// the node from which connections go to the URL's host.
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

// Flags make the API server ask the webhook of a kubeconfig. A refused token may be tried again after a second; one that
// was taken is taken for 10 s more, however low the value is, for so long the API server keeps every token's answer.
func Flags(kubeconfig string) []string {
	return []string{
		"--authentication-token-webhook-config-file=" + kubeconfig,
		"--authentication-token-webhook-version=v1",
		"--authentication-token-webhook-cache-ttl=1s",
	}
}
