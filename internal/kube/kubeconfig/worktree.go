package kubeconfig

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/worktree"
	"k8s.io/client-go/tools/clientcmd/api"
)

// WorkTree is a checkout. The author of a commit controls its content. A kubeconfig in it, or one that runs or reads
// something in it, would let a commit run commands with the job's credentials, or send them to a server of its choice.
type WorkTree struct {
	Root string // absolute, symbolic links resolved; "": nothing is checked
	Dir  string // working directory, against which a command resolves relative paths
}

// checkFiles refuses kubeconfig files in the work tree.
func (w WorkTree) checkFiles(files []string) error {
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil && w.contains(file) {
			return w.refusal(file, "the kubeconfig", "keep the kubeconfig outside of the work tree ($RUNNER_TEMP on GitHub)")
		}
	}
	return nil
}

// checkContext refuses a context whose user or cluster runs or reads something in the work tree.
func (w WorkTree) checkContext(kubeconfig *api.Config, name string) error {
	context := kubeconfig.Contexts[name]
	cluster, user := kubeconfig.Clusters[context.Cluster], kubeconfig.AuthInfos[context.AuthInfo]
	where := fmt.Sprintf("context %q", name)
	if cluster != nil && w.contains(cluster.CertificateAuthority) {
		return w.refusal(cluster.CertificateAuthority, "the certificate-authority of "+where, "keep it outside of the work tree")
	}
	if user == nil {
		return nil
	}
	for field, file := range map[string]string{"tokenFile": user.TokenFile, "client-certificate": user.ClientCertificate, "client-key": user.ClientKey} {
		if w.contains(file) {
			return w.refusal(file, "the "+field+" of "+where, "keep it outside of the work tree")
		}
	}
	if user.AuthProvider != nil {
		for _, field := range slices.Sorted(maps.Keys(user.AuthProvider.Config)) {
			if file := w.mentioned(user.AuthProvider.Config[field]); file != "" {
				return w.refusal(file, fmt.Sprintf("%s of the auth-provider of %s", field, where), "keep it outside of the work tree")
			}
		}
	}
	if user.Exec == nil {
		return nil
	}
	return w.checkCommand(user.Exec, where)
}

// checkCommand refuses a command for credentials that is in the work tree, or that an argument or a variable leads there. client-go
// has resolved a relative path of the command against the kubeconfig's directory, and looks a name up in PATH.
func (w WorkTree) checkCommand(command *api.ExecConfig, where string) error {
	const do = "name a command outside of the work tree, by its absolute path"
	file := command.Command
	if found, err := exec.LookPath(file); found != "" && (err == nil || filepath.IsAbs(found)) {
		file = found
	}
	if strings.ContainsRune(file, filepath.Separator) && w.contains(file) {
		return w.refusal(file, "the command for credentials of "+where, do)
	}
	for _, argument := range command.Args {
		if file := w.mentioned(argument); file != "" {
			return w.refusal(file, "an argument of the command for credentials of "+where, do)
		}
	}
	for _, variable := range command.Env {
		if file := w.mentioned(variable.Value); file != "" {
			return w.refusal(file, fmt.Sprintf("%s, a variable of the command for credentials of %s,", variable.Name, where), do)
		}
	}
	return nil
}

func (w WorkTree) contains(file string) bool { return worktree.Tree(w).Contains(file) }

func (w WorkTree) mentioned(text string) string { return worktree.Tree(w).Mentioned(text) }

func (w WorkTree) refusal(path, what, do string) error {
	return release.BadSetting(settingKubeconfig, fmt.Sprintf("%s is %q, which is in the work tree, so a commit could choose what uses this job's credentials", what, path),
		do+"; if every commit that comes here is trusted, give --allow-work-tree-kubeconfig")
}
