// Package teardown removes a sandbox in any state, and lists what is left of one.
package teardown

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/cgroups"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Leftovers lists what is left of a sandbox on the machine: its processes, mounts, cgroups and directory. Interfaces,
// routes and firewall rules need no search: they live in the node's network namespace, which ends with its processes.
func Leftovers(dir place.Dir) ([]string, error) {
	group, err := cgroups.Named(dir.Name())
	if err != nil {
		return nil, err
	}
	var left []string
	pids := map[int]bool{}
	for _, pid := range append(group.Processes(), processesOf(dir)...) {
		if program := programOf(pid); !pids[pid] && program != "" {
			pids[pid] = true
			left = append(left, fmt.Sprintf("process %d (%s)", pid, program))
		}
	}
	mounts, err := mountsBelow(dir)
	if err != nil {
		return nil, err
	}
	for _, mount := range mounts {
		left = append(left, "mount "+mount)
	}
	for _, cgroup := range group.Left() {
		left = append(left, "cgroup "+cgroup)
	}
	if _, err := os.Lstat(string(dir)); err == nil {
		left = append(left, "directory "+string(dir))
	}
	return left, nil
}

// processesOf returns the processes of the sandbox: each has a path of the sandbox in its arguments.
func processesOf(dir place.Dir) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if isComponent(arguments(pid), dir) {
			found = append(found, pid)
		}
	}
	return found
}

// isComponent reports whether a process is one of the sandbox's programs, and not, for example, an editor that has one of its files open.
func isComponent(arguments []string, dir place.Dir) bool {
	if len(arguments) < 2 {
		return false
	}
	mentioned := false
	for _, argument := range arguments[1:] {
		mentioned = mentioned || strings.Contains(argument, string(dir)+"/") || strings.HasSuffix(argument, string(dir))
	}
	if !mentioned {
		return false
	}
	switch program := filepath.Base(arguments[0]); program {
	case "sandbox":
		return arguments[1] == "serve" || arguments[1] == "init" || arguments[1] == "node"
	default:
		return program == "kube" || program == "containerd" || program == "runc" || program == "ctr" || strings.HasPrefix(program, "containerd-shim")
	}
}

func arguments(pid int) []string {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil || len(line) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
}

// programOf returns the name of a process's program; "" if the process has ended or is a zombie, which only its parent can remove.
func programOf(pid int) string {
	line := arguments(pid)
	if len(line) == 0 {
		return ""
	}
	return filepath.Base(line[0])
}

// mountsBelow lists the mount points in the sandbox's directory, innermost last.
func mountsBelow(dir place.Dir) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		// proc(5): a space in a path is written \040.
		at := strings.ReplaceAll(fields[4], `\040`, " ")
		if at == string(dir) || strings.HasPrefix(at, string(dir)+"/") {
			found = append(found, at)
		}
	}
	return found, nil
}
