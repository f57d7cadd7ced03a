// Package cgroups puts all processes of a sandbox into control groups, so that they can be found and ended even after the process
// that started them has ended. It supports cgroup v2 and v1 (kernel.org/doc, admin-guide/cgroup-v2 and cgroup-v1).
package cgroups

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Group is a cgroup below the root of each of the machine's hierarchies.
type Group struct {
	name        string
	hierarchies []hierarchy
}

// hierarchy is a mounted cgroup tree: the only one in v2, one for each set of controllers in v1.
type hierarchy struct {
	mount       string
	controllers []string
	unified     bool
}

// Named returns the group of that name; it does not have to exist.
func Named(name string) (*Group, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	group := &Group{name: name, hierarchies: parse(string(mounts))}
	if len(group.hierarchies) == 0 {
		return nil, errors.New("no cgroup file system is mounted at /sys/fs/cgroup")
	}
	return group, nil
}

// parse reads hierarchies from the lines of mountinfo (proc(5)). When v1 controllers are mounted they come first: a v2 tree
// beside them has no controllers, but runc makes cgroups there too.
func parse(mountinfo string) []hierarchy {
	var v1, v2 []hierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		at := fields[4]
		if at != "/sys/fs/cgroup" && !strings.HasPrefix(at, "/sys/fs/cgroup/") {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			v2 = append(v2, hierarchy{mount: at, unified: true})
		case "cgroup":
			v1 = append(v1, hierarchy{mount: at, controllers: strings.Split(tail[2], ",")})
		}
	}
	return append(v1, v2...)
}

// Path returns the group's path in the form of the kubelet's cgroupRoot.
func (g *Group) Path() string { return "/" + g.name }

// Create makes the group in every hierarchy.
func (g *Group) Create() error {
	for _, h := range g.hierarchies {
		dir := filepath.Join(h.mount, g.name)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the mode of cgroup directories
			return fmt.Errorf("making cgroup %q: %w", dir, err)
		}
		if h.unified {
			delegate(h.mount)
			delegate(dir)
		}
	}
	return nil
}

// delegate enables all of a group's controllers for its children. Some cannot be enabled; the kubelet reports those that it needs.
func delegate(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for _, controller := range strings.Fields(string(controllers)) {
		os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0) //nolint:errcheck,gosec // see above
	}
}

// Join moves the calling process into a child of the group. In v1 it joins the one hierarchy whose children need no
// settings before they can hold processes.
func (g *Group) Join(child string) error {
	h := g.hierarchies[0]
	for _, candidate := range g.hierarchies {
		if slices.Contains(candidate.controllers, "pids") {
			h = candidate
		}
	}
	dir := filepath.Join(h.mount, g.name, child)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the mode of cgroup directories
		return fmt.Errorf("making cgroup %q: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
		return fmt.Errorf("joining cgroup %q: %w", dir, err)
	}
	return nil
}

// Left lists the group's directories that still exist.
func (g *Group) Left() []string {
	var left []string
	for _, h := range g.hierarchies {
		if dir := filepath.Join(h.mount, g.name); exists(dir) {
			left = append(left, dir)
		}
	}
	return left
}

// Processes lists the processes in the group and in its descendants.
func (g *Group) Processes() []int {
	seen := map[int]bool{}
	for _, dir := range g.directories() {
		content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for field := range bytes.FieldsSeq(content) {
			if pid, err := strconv.Atoi(string(field)); err == nil && pid > 0 {
				seen[pid] = true
			}
		}
	}
	var pids []int
	for pid := range seen {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// Remove kills the group's processes and removes the group, within the given time.
func (g *Group) Remove(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		for _, pid := range g.Processes() {
			if pid != os.Getpid() {
				syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck,gosec // it may have ended meanwhile
			}
		}
		var failed error
		directories := g.directories()
		slices.Reverse(directories) // children before parents
		for _, dir := range directories {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = err
			}
		}
		if failed == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("removing the cgroup %q, in which processes %v are left: %w", g.name, g.Processes(), failed)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// directories lists the group's directories in all hierarchies, parents before children.
func (g *Group) directories() []string {
	var found []string
	for _, h := range g.hierarchies {
		//nolint:errcheck,gosec // directories may disappear during the walk
		filepath.WalkDir(filepath.Join(h.mount, g.name), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
