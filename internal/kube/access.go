package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Access says which cluster is meant.
type Access struct {
	Kubeconfig string // file, or several as KUBECONFIG lists them; "": Home's, or the pod's own service account
	Context    string // of the kubeconfig; "": its current one
	Home       string // directory whose .kube/config is used when Kubeconfig is ""; "": none
}

const (
	whereKubeconfig = "--kubeconfig (INPUT_KUBECONFIG, KUBECONFIG)"
	whereContext    = "--context (INPUT_CONTEXT)"
)

// Requests per second to the apiserver, and how many may come at once. The library's own 5 and 10 make a chart of 60
// objects wait for itself.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 150
)

// Connect reads the access to a cluster; it sends nothing. A kubeconfig that is missing or broken, and a context that it
// does not have, are an *release.InputError.
func Connect(access Access) (*rest.Config, error) {
	config, err := read(access)
	if err != nil {
		return nil, err
	}
	temper(config)
	return config, nil
}

// temper sets what is the same for every cluster and every way to reach it.
func temper(config *rest.Config) {
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	config.UserAgent = "onedigest"
	config.WarningHandler = rest.NoWarnings{} // they would go to the process's own stderr
}

func read(access Access) (*rest.Config, error) {
	files := slices.DeleteFunc(filepath.SplitList(access.Kubeconfig), func(file string) bool { return file == "" })
	if len(files) == 0 && access.Home != "" {
		file := filepath.Join(access.Home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)
		if _, err := os.Stat(file); err == nil {
			files = []string{file}
		}
	}
	if len(files) == 0 {
		return fromPod(access)
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: files}
	if err := present(files); err != nil {
		return nil, err
	}
	kubeconfig, err := rules.Load()
	if err != nil {
		return nil, release.BadInput(whereKubeconfig, fmt.Sprintf("reading %q: %s", access.name(files), printable(err.Error())), "give a kubeconfig file")
	}
	context, err := choose(kubeconfig, access, files)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*kubeconfig, context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, release.BadInput(whereKubeconfig, fmt.Sprintf("context %q of %q cannot be used: %s", context, access.name(files), printable(err.Error())), "")
	}
	return config, nil
}

// present accepts a list of which some file exists, as kubectl does.
func present(files []string) error {
	var missing error
	for _, file := range files {
		_, err := os.Stat(file)
		if err == nil {
			return nil
		}
		missing = err
	}
	what := fmt.Sprintf("%q cannot be read", strings.Join(files, string(filepath.ListSeparator)))
	if errors.Is(missing, fs.ErrNotExist) {
		what = fmt.Sprintf("%q does not exist", strings.Join(files, string(filepath.ListSeparator)))
	}
	return release.BadInput(whereKubeconfig, what, "give a kubeconfig file")
}

func choose(kubeconfig *api.Config, access Access, files []string) (string, error) {
	context, where := access.Context, whereContext
	if context == "" {
		context, where = kubeconfig.CurrentContext, whereKubeconfig
	}
	if _, found := kubeconfig.Contexts[context]; found {
		return context, nil
	}
	names := slices.Sorted(maps.Keys(kubeconfig.Contexts))
	what := fmt.Sprintf("%q has no context %q", access.name(files), context)
	if context == "" {
		what = fmt.Sprintf("%q names no current context", access.name(files))
	}
	switch {
	case len(names) == 0:
		return "", release.BadInput(whereKubeconfig, fmt.Sprintf("%q has no contexts", access.name(files)), "give a kubeconfig of a cluster")
	case len(names) > maxNamed:
		names = append(names[:maxNamed], "…")
	}
	return "", release.BadInput(where, what, "it has: "+strings.Join(names, ", "))
}

// maxNamed is how many names an error lists.
const maxNamed = 20

func (a Access) name(files []string) string {
	if a.Kubeconfig != "" {
		return a.Kubeconfig
	}
	return files[0]
}

// fromPod uses the service account that Kubernetes mounts into a pod.
func fromPod(access Access) (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, release.BadInput(whereKubeconfig, "no cluster is named: there is no kubeconfig, and this is no pod of a cluster",
			"give --kubeconfig, or have one written (aws eks update-kubeconfig --name CLUSTER)")
	case err != nil:
		return nil, release.NewFault(Side, "", err, "reading the pod's service account")
	case access.Context != "":
		return nil, release.BadInput(whereContext, fmt.Sprintf("context %q belongs to no kubeconfig", access.Context), "give --kubeconfig too")
	}
	return config, nil
}
