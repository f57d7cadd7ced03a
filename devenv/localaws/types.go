package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/eks"
	"github.com/onedigest/onedigest/devenv/localaws/internal/identity"
	"github.com/onedigest/onedigest/devenv/localaws/internal/kms"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sts"
)

// Mutability says which tags of a repository may move to another image.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
type Mutability = store.Mutability

// The settings of a repository's mutability, in the API's spelling.
const (
	Mutable                = store.Mutable
	Immutable              = store.Immutable
	MutableWithExclusion   = store.MutableWithExclusion   // tags that match a filter are immutable
	ImmutableWithExclusion = store.ImmutableWithExclusion // tags that match a filter are mutable
)

// TagRule is a repository's mutability and, for the two settings with exclusion, one to five filters; * in a filter matches any
// number of characters.
type TagRule = store.TagRule

// KeyFile is the name of the file with the key that signs registry tokens; every server's directory has one.
const KeyFile = store.KeyFile

// KeptFiles lists the files and directories that a server writes in Options.Dir, the key last.
func KeptFiles() []string { return append([]string{kms.File}, store.Files()...) }

// Job is what an identity token says about the job of GitHub Actions that asks for it.
type Job = identity.Job

// Role is a role of the account that jobs may assume, and what its trust policy says.
type Role = sts.Role

// Cluster is an EKS cluster of the account. A server forgets its clusters when it ends.
type Cluster = eks.Cluster

// AccessEntry lets an IAM principal log in to a cluster, as a member of Kubernetes groups.
type AccessEntry = eks.AccessEntry

// ClusterStatus is a cluster's state.
type ClusterStatus = eks.ClusterStatus

// The states of a cluster.
const (
	ClusterCreating = eks.ClusterCreating
	ClusterActive   = eks.ClusterActive
	ClusterDeleting = eks.ClusterDeleting
	ClusterFailed   = eks.ClusterFailed
	ClusterUpdating = eks.ClusterUpdating
	ClusterPending  = eks.ClusterPending
)

// ClusterFromKubeconfig returns an active cluster of that name with the endpoint and the authority of the file's current context.
// The credentials in the file are not read.
func ClusterFromKubeconfig(name, file string) (Cluster, error) {
	return eks.ClusterFromKubeconfig(name, file)
}

// ClusterPath returns the path, below the server's URL, that registers a cluster with a running server: a signed PUT of it as JSON.
func ClusterPath(cluster string) string { return eks.ClusterPath(cluster) }

// ReviewPath returns the path, below the server's URL, of the webhook that authenticates the tokens of a cluster.
func ReviewPath(cluster string) string { return eks.ReviewPath(cluster) }
