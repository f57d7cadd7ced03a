// Package place returns the paths of a sandbox's files. All files are in one directory, so that removing it removes everything.
package place

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Default is the default directory of a sandbox.
const Default = "/var/lib/onedigest-sandbox"

// maxDirLength is the longest path of a sandbox's directory, in bytes: a unix socket's path has at most 107 (sun_path has 108 with its final zero,
// unix(7)), of which the longest path that the sandbox makes below the directory is subtracted.
const maxDirLength = 107 - len("/kubelet/plugins_registry/example.com-reg.sock")

// marker marks a directory as a sandbox's, so that down removes no other.
const marker = ".onedigest-sandbox"

// Dir is the directory of one sandbox: an absolute path without symlinks.
type Dir string

// At returns the sandbox directory at a path. It refuses a path too long for the sockets in it, the file system's
// top-level directories, and a directory with files of something else.
func At(path string) (Dir, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("making %q absolute: %w", path, err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err == nil {
		absolute = filepath.Join(parent, filepath.Base(absolute))
	}
	if info, err := os.Lstat(absolute); err == nil && !info.IsDir() {
		return "", fmt.Errorf("%q is not a directory", absolute)
	}
	if len(absolute) > maxDirLength {
		return "", fmt.Errorf("%q is too long by %d bytes: the sockets in it must stay within 107 bytes", absolute, len(absolute)-maxDirLength)
	}
	if filepath.Dir(absolute) == "/" {
		return "", fmt.Errorf("%q is a top-level directory: name one below it", absolute)
	}
	d := Dir(absolute)
	entries, err := os.ReadDir(absolute)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading %q: %w", absolute, err)
	}
	if len(entries) > 0 && !d.Marked() {
		return "", fmt.Errorf("%q holds files but no sandbox: name an empty or new directory", absolute)
	}
	return d, nil
}

// Create makes the directory and marks it as a sandbox's.
func (d Dir) Create() error {
	if err := os.MkdirAll(string(d), 0o755); err != nil { //nolint:gosec // kubeconfig and sockets inside carry their own modes
		return err
	}
	return os.WriteFile(d.In(marker), []byte("The sandbox of onedigest. Remove it with: sandbox down --dir "+string(d)+"\n"), 0o600)
}

// Marked reports whether the directory is a sandbox's.
func (d Dir) Marked() bool {
	_, err := os.Stat(d.In(marker))
	return err == nil
}

// Name returns the sandbox's name for uses that allow no path, such as cgroups. It depends only on the directory.
func (d Dir) Name() string {
	sum := sha256.Sum256([]byte(d))
	return "onedigest-sandbox-" + hex.EncodeToString(sum[:4])
}

// In returns a path inside the directory.
func (d Dir) In(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Kubeconfig returns the path of the administrator's kubeconfig, for use on the host.
func (d Dir) Kubeconfig() string { return d.In("kubeconfig") }

// Settings returns the path of the file with the settings of up.
func (d Dir) Settings() string { return d.In("settings.json") }

// Control returns the path of the supervisor's socket.
func (d Dir) Control() string { return d.In("control.sock") }

// Lock returns the path of the file that the supervisor locks while it runs.
func (d Dir) Lock() string { return d.In("lock") }

// Log returns the path of a component's log.
func (d Dir) Log(part string) string { return d.In("logs", part+".log") }

// Containerd returns the path of containerd's socket.
func (d Dir) Containerd() string { return d.In("containerd.sock") }

// Key returns the path of a private key.
func (d Dir) Key(name string) string { return d.In("pki", name+".key") }

// Certificate returns the path of a certificate in PEM.
func (d Dir) Certificate(name string) string { return d.In("pki", name+".crt") }

// TokenWebhook returns the path of the kubeconfig for the API server's token webhook, for use inside the node.
func (d Dir) TokenWebhook() string { return d.In("etc", "token-webhook.kubeconfig") }

// Inner returns the path of a component's kubeconfig, for use inside the node.
func (d Dir) Inner(component string) string { return d.In("pki", component+".kubeconfig") }
