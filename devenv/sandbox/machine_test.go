package main_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine takes down whatever a careless sandbox could change on the machine.
func machine(t *testing.T) []string {
	t.Helper()
	var state []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range interfaces {
		state = append(state, "interface "+one.Name)
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		t.Fatal(err)
	}
	for route := range strings.Lines(string(routes)) {
		fields := strings.Fields(route)
		state = append(state, "route "+strings.Join(fields[:3], " "))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for mount := range strings.Lines(string(mounts)) {
		state = append(state, "mount "+strings.Fields(mount)[4])
	}
	rules, err := exec.Command("nft", "list", "ruleset").Output()
	if err != nil {
		rules = nil // not installed yet
	}
	state = append(state, "rules "+string(rules))
	for _, pattern := range []string{
		"/run/*", "/run/netns/*", "/run/containerd/*", "/var/lib/*", "/var/lib/kubelet/*", "/var/lib/cni/*", "/var/log/pods/*", "/var/log/containers/*",
		"/etc/cni/*", "/etc/cni/net.d/*", "/opt/*", "/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*sandbox*", "/tmp/cni*", "/tmp/runc*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.Contains(path, "onedigest-") {
				continue // another sandbox's; this one's are looked for by name
			}
			state = append(state, "path "+path)
		}
	}
	for _, tunable := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
		"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/all/forwarding",
		"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_timeout_established",
	} {
		value, err := os.ReadFile("/proc/sys/" + tunable)
		if err == nil {
			state = append(state, "setting "+tunable+" "+strings.TrimSpace(string(value)))
		}
	}
	slices.Sort(state)
	return state
}
