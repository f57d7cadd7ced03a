// Package node is the Kubernetes node: the processes, mounts and network of a sandbox, in namespaces of their own. When
// its first process ends, the kernel ends all the others and with them every mount, interface and firewall rule.
package node

import "net"

// The node's network namespace is connected only to its pods, so these ranges cannot collide with others.
const (
	// Address is the node's own address.
	Address = "10.88.0.1"
	// Pods is the range of pod addresses.
	Pods = "10.244.0.0/16"
	// Services is the range of cluster IPs.
	Services = "10.96.0.0/16"
	// FirstService is the address of the Service "kubernetes".
	FirstService = "10.96.0.1"
	// Resolver is the cluster IP reserved for DNS.
	Resolver = "10.96.0.10"
	// Name is the node's name in the cluster.
	Name = "sandbox"
	// Domain is the cluster's DNS domain.
	Domain = "cluster.local"
	// APIPort is where the API server listens, on every address of the node.
	APIPort = 6443
	// Inside is where everything else in the node listens. 127.0.0.1 stays free for the registries, which have the same address
	// and port in the node as on the host.
	Inside = "127.0.0.9"
	// LoginAddress is where the login helper reaches the ECR endpoint of the host.
	LoginAddress = "127.0.0.10:80"
	// WebhookAddress is where the API server reaches its token webhook on the host.
	WebhookAddress = "127.0.0.11:80"
	// MetricsPort is where the resource metrics are served, on the node's own address: endpoints of a Service cannot be on
	// loopback.
	MetricsPort = 4443
)

// APIServer is the API server's URL inside the node.
const APIServer = "https://127.0.0.1:6443"

// Addresses lists the addresses in the API server's certificate.
func Addresses() []net.IP {
	return []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(Inside), net.ParseIP(Address), net.ParseIP(FirstService)}
}
