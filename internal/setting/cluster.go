package setting

// Cluster declares how to reach a cluster, alike for every verb that does.
func Cluster(set *Set, kubeconfig, context *string) {
	Var(set, kubeconfig, Setting{Name: "kubeconfig", Value: "FILE", Fallback: "KUBECONFIG",
		Help: "Kubeconfig; ~/.kube/config, or the pod's own service account, if nothing is given"}, Text)
	Var(set, context, Setting{Name: "context", Value: "NAME",
		Help: "Context of the kubeconfig; its current one if not given"}, Text)
}
