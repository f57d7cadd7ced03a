package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// hidden lists the directories into which Kubernetes, containerd and CNI write regardless of their settings. The node mounts its own
// over them, so the machine's stay unchanged.
var hidden = []string{"/run", "/var/lib", "/var/log", "/etc/cni"}

// tunables are the kernel settings that the kubelet requires (setupKernelTunables in pkg/kubelet/cm). Files with these values are
// mounted over the machine's, so that the kubelet does not change the machine's.
var tunables = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// mountOwn makes the mount namespace private and mounts the process table of the PID namespace.
func mountOwn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// mountPrivateDirs mounts a directory of the node over each of the machine's directories in hidden (/run, /var/lib, …). The
// subdirectories in keep are bound into them and stay visible.
func mountPrivateDirs(dir place.Dir, keep ...string) error {
	for _, path := range hidden {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		own := dir.In("own", strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-"))
		if err := os.MkdirAll(own, 0o755); err != nil { //nolint:gosec // the modes of /run and /var/lib
			return err
		}
		for _, kept := range keep {
			rest, below := strings.CutPrefix(kept, path+"/")
			if !below {
				continue
			}
			through := filepath.Join(own, rest)
			if err := os.MkdirAll(through, 0o755); err != nil { //nolint:gosec // as above
				return err
			}
			if err := bind(kept, through); err != nil {
				return err
			}
		}
		if err := bind(own, path); err != nil {
			return err
		}
	}
	return nil
}

// mountTunables mounts the tunables over the machine's.
func mountTunables(dir place.Dir) error {
	for path, value := range tunables {
		own := dir.In("own", "sys", filepath.Base(path))
		if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil { //nolint:gosec // as above
			return err
		}
		if err := os.WriteFile(own, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := bind(own, path); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %q over %q: %w", from, to, err)
	}
	return nil
}
