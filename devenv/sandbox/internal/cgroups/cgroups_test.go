package cgroups

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, mountinfo string
		want            []hierarchy
	}{
		{"v2", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n", []hierarchy{{mount: "/sys/fs/cgroup", unified: true}}},
		{"v1 with a v2 tree beside it", `25 23 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
28 25 0:25 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids
`, []hierarchy{
			{mount: "/sys/fs/cgroup/cpu,cpuacct", controllers: []string{"rw", "cpu", "cpuacct"}},
			{mount: "/sys/fs/cgroup/pids", controllers: []string{"rw", "pids"}},
			{mount: "/sys/fs/cgroup/unified", unified: true},
		}},
		{"somebody's mount elsewhere", "30 23 0:26 / /home/me/cgroup rw - cgroup2 cgroup2 rw\n", nil},
		{"nonsense", "\n - \n1 2 3 - cgroup2\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, parse(c.mountinfo), cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add("26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		for _, h := range parse(mountinfo) {
			if h.mount == "" {
				t.Errorf("a hierarchy without a mount from %q", mountinfo)
			}
		}
	})
}
