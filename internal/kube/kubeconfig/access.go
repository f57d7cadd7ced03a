// Package kubeconfig loads the client configuration for a cluster: a kubeconfig, the service account of a pod, or short-lived bearer tokens. It
// refuses a kubeconfig that is in the work tree or names a program or file there, and collects the credentials as secrets. It sends no request.
package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"
)

// Access says which cluster to reach and how.
type Access struct {
	Kubeconfig string        // file, or several separated as in KUBECONFIG; "": Home's, or else the pod's service account
	Context    string        // of the kubeconfig; "": its current context
	Home       string        // directory whose .kube/config is used when Kubeconfig is ""; "": none
	Secrets    *text.Secrets // gets the credentials; may be nil
	WorkTree   WorkTree      // the kubeconfig, and the programs that it names, must not be in it
}

// Settings that an error may be about.
const (
	settingKubeconfig = "kubeconfig"
	settingContext    = "kube-context"
)

// Limits of requests to the apiserver. With client-go's defaults of 5 per second and a burst of 10, the requests for a chart of 60
// objects wait for the limit.
const (
	requestsPerSecond = 50
	requestBurst      = 150
)

// maxErrorBytes is how much of client-go's error text is shown.
const maxErrorBytes = 1024

// maxNames is how many names an error lists.
const maxNames = 20

// SilenceClientGo drops what client-go logs in this process: it repeats errors that requests return, in lines that no reader of a deploy's log can use. It is called
// before anything of client-go runs, because klog's logger may not be set while another goroutine reads it.
var SilenceClientGo = sync.OnceFunc(func() { klog.SetLoggerWithOptions(klog.Logger{}, klog.ContextualLogger(true)) })

// Load returns the client configuration for a cluster, and silences client-go; it sends nothing. A kubeconfig that is missing or cannot be parsed, a context that it does not
// have, and a kubeconfig that is in the work tree or names a program or file there are a *release.InputError.
func Load(access Access) (*rest.Config, error) {
	SilenceClientGo()
	config, err := loadConfig(access)
	if err != nil {
		return nil, err
	}
	setDefaults(config)
	return config, nil
}

// setDefaults sets what is the same for every cluster.
func setDefaults(config *rest.Config) {
	config.QPS, config.Burst = requestsPerSecond, requestBurst
	config.UserAgent = "onedigest"
	config.WarningHandler = rest.NoWarnings{} // client-go would print warnings to the process's stderr
}

// loadConfig loads the kubeconfig, or the service account of the pod that this process runs in.
func loadConfig(access Access) (*rest.Config, error) {
	files := access.files()
	if len(files) == 0 {
		return inClusterConfig(access)
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: files}
	if err := checkAnyExists(files); err != nil {
		return nil, err
	}
	if err := access.WorkTree.checkFiles(files); err != nil {
		return nil, err
	}
	kubeconfig, err := rules.Load()
	if err != nil {
		collectMalformed(files, access.Secrets)
		return nil, release.BadSetting(settingKubeconfig, fmt.Sprintf("reading %q: %s", access.describe(files), text.Line(err.Error(), maxErrorBytes)), "give a kubeconfig file")
	}
	collectKubeconfig(kubeconfig, access.Secrets)
	context, err := selectContext(kubeconfig, access, files)
	if err != nil {
		return nil, err
	}
	if err := access.WorkTree.checkContext(kubeconfig, context); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*kubeconfig, context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, release.BadSetting(settingKubeconfig, fmt.Sprintf("context %q of %q cannot be used: %s", context, access.describe(files), text.Line(err.Error(), maxErrorBytes)), "")
	}
	return config, nil
}

// files returns the kubeconfig files to load; none in a pod without a kubeconfig.
func (a Access) files() []string {
	files := slices.DeleteFunc(filepath.SplitList(a.Kubeconfig), func(file string) bool { return file == "" })
	if len(files) == 0 && a.Home != "" {
		file := filepath.Join(a.Home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)
		if _, err := os.Stat(file); err == nil {
			files = []string{file}
		}
	}
	return files
}

// describe returns the kubeconfig as the user gave it, for an error message.
func (a Access) describe(files []string) string {
	if a.Kubeconfig != "" {
		return a.Kubeconfig
	}
	return files[0]
}

// checkAnyExists refuses a list if none of its files exists. Like kubectl, it ignores a missing file if another one exists.
func checkAnyExists(files []string) error {
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
	return release.BadSetting(settingKubeconfig, what, "give a kubeconfig file")
}

// selectContext returns the name of the context to use. If the kubeconfig does not have it, the error lists those that it has.
func selectContext(kubeconfig *api.Config, access Access, files []string) (string, error) {
	context, setting := access.Context, settingContext
	if context == "" {
		context, setting = kubeconfig.CurrentContext, settingKubeconfig
	}
	if _, found := kubeconfig.Contexts[context]; found {
		return context, nil
	}
	names := slices.Sorted(maps.Keys(kubeconfig.Contexts))
	what := fmt.Sprintf("%q has no context %q", access.describe(files), context)
	if context == "" {
		what = fmt.Sprintf("%q names no current context", access.describe(files))
	}
	switch {
	case len(names) == 0:
		return "", release.BadSetting(settingKubeconfig, fmt.Sprintf("%q has no contexts", access.describe(files)), "give a kubeconfig of a cluster")
	case len(names) > maxNames:
		names = append(names[:maxNames], "…")
	}
	return "", release.BadSetting(setting, what, "it has: "+strings.Join(names, ", "))
}

// inClusterConfig uses the service account that Kubernetes mounts into a pod.
func inClusterConfig(access Access) (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, release.BadSetting(settingKubeconfig, "no cluster is named: there is no kubeconfig, and this process does not run in a pod",
			"give --kubeconfig, or create one (aws eks update-kubeconfig --name CLUSTER)")
	case err != nil:
		return nil, release.NewFault(apierror.Side, "", err, "reading the pod's service account")
	case access.Context != "":
		return nil, release.BadSetting(settingContext, fmt.Sprintf("there is no kubeconfig to have context %q", access.Context), "give --kubeconfig too")
	}
	return config, nil
}
