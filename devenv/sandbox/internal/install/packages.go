// Package install installs what a sandbox needs: a few Debian packages and the binaries built from this module.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// need is a package, and how to check that it is installed.
type need struct {
	packageName string
	programs    []string
}

var needs = []need{
	{"containerd", []string{"containerd", "ctr", "containerd-shim-runc-v2"}},
	{"runc", []string{"runc"}},
	{"nftables", []string{"nft"}},
}

// pluginDirs lists where distributions install CNI plugins.
var pluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// plugins are the CNI plugins that the node uses.
var plugins = []string{"ptp", "host-local", "loopback"}

// Plugins returns the directory with the CNI plugins; "" if there is none.
func Plugins() string {
	for _, dir := range pluginDirs {
		if !slices.ContainsFunc(plugins, func(p string) bool { _, err := os.Stat(filepath.Join(dir, p)); return err != nil }) {
			return dir
		}
	}
	return ""
}

// Missing lists the Debian packages that are not installed.
func Missing() []string {
	var missing []string
	for _, n := range needs {
		if slices.ContainsFunc(n.programs, func(p string) bool { _, err := exec.LookPath(p); return err != nil }) {
			missing = append(missing, n.packageName)
		}
	}
	if Plugins() == "" {
		missing = append(missing, "containernetworking-plugins")
	}
	return missing
}

// policy is the file with which a Debian machine's administrator forbids packages to start services
// (people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt).
const policy = "/usr/sbin/policy-rc.d"

// Packages installs Debian packages, and prevents them from starting services, now or at the next boot.
func Packages(ctx context.Context, names []string, out io.Writer) (err error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%s missing, and there is no apt-get to install with: install by hand", strings.Join(names, ", "))
	}
	fresh := slices.Contains(names, "containerd")
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // it must be executable
	switch {
	case errors.Is(err, fs.ErrExist): // a policy of the administrator is kept
	case err != nil:
		return fmt.Errorf("forbidding services to start: %w", err)
	default:
		defer func() { err = errors.Join(err, os.Remove(policy)) }()
		_, written := file.WriteString("#!/bin/sh\nexit 101\n")
		if err := errors.Join(written, file.Close()); err != nil {
			return fmt.Errorf("forbidding services to start: %w", err)
		}
	}
	arguments := append([]string{"install", "--yes", "--quiet", "--no-install-recommends"}, names...)
	if err := apt(ctx, out, arguments...); err != nil {
		// The package lists may be old or missing.
		if err := apt(ctx, out, "update", "--quiet"); err != nil {
			return err
		}
		if err := apt(ctx, out, arguments...); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("systemctl"); err == nil && fresh {
		if output, err := exec.CommandContext(ctx, "systemctl", "disable", "containerd.service").CombinedOutput(); err != nil {
			return fmt.Errorf("keeping containerd from starting at boot: %w: %s", err, output)
		}
	}
	return nil
}

// apt runs apt-get without questions. It shows the output only if that fails.
func apt(ctx context.Context, out io.Writer, arguments ...string) error {
	command := exec.CommandContext(ctx, "apt-get", arguments...) //nolint:gosec // a fixed program, and no shell
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	output, err := command.CombinedOutput()
	if err != nil {
		out.Write(output) //nolint:errcheck,gosec // the error below says what matters
		return fmt.Errorf("running apt-get %s: %w", strings.Join(arguments, " "), err)
	}
	return nil
}
