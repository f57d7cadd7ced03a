package pki

import (
	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig renders a kubeconfig whose only context, called name, reaches server as the pair's subject. All certificates are
// inside, so it can be copied.
func Kubeconfig(name, server string, authority []byte, user Pair) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: user.Certificate, ClientKeyData: user.Key}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.Write(*config)
}
