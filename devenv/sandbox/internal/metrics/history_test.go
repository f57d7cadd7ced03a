package metrics

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

var sample = types.NamespacedName{Namespace: "default", Name: "sample"}

func read(t *testing.T, file string) reading {
	t.Helper()
	text, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close() //nolint:errcheck // it is only read
	current, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return current
}

// TestRatesOfARealKubelet reads what a kubelet of Kubernetes 1.37 said twice, 11 s apart.
func TestRatesOfARealKubelet(t *testing.T) {
	t.Parallel()
	var h history
	h.add("sandbox", read(t, "first.txt"))
	if _, known := h.pod(sample); known {
		t.Error("a rate was computed from one reading")
	}
	h.add("sandbox", read(t, "second.txt"))
	containers, known := h.pod(sample)
	if !known || len(containers) != 2 {
		t.Fatalf("of the pod is known: %v", containers)
	}
	if a := containers["a"]; a.window() != 11278*time.Millisecond || plain(a.usage()) != "0 1000Ki" {
		t.Errorf("container a uses %s over %s", plain(a.usage()), a.window())
	}
	node, known := h.node("sandbox")
	if !known || node.window() != 10009*time.Millisecond || plain(node.usage()) != "1996016673n 5970576Ki" {
		t.Errorf("the node uses %s over %s, known: %v", plain(node.usage()), node.window(), known)
	}
}

func plain(usage core.ResourceList) string {
	return usage.Cpu().String() + " " + usage.Memory().String()
}

func TestParseReadingOfAContainer(t *testing.T) {
	t.Parallel()
	const labels = `{container="app",namespace="default",pod="sample"} `
	whole := containerCPU + labels + "2.5 1000\n" + containerMemory + labels + "1024 1000\n" + containerStart + labels + "0.25\n"
	unstarted, _, _ := strings.Cut(whole, containerStart)
	for name, test := range map[string]struct {
		text string
		want map[string]point
	}{
		"all":               {whole, map[string]point{"app": {at: time.UnixMilli(1000), started: time.UnixMilli(250), cpu: 2.5, memory: 1024}}},
		"no start":          {unstarted, map[string]point{"app": {at: time.UnixMilli(1000), cpu: 2.5, memory: 1024}}},
		"no memory":         {containerCPU + labels + "2.5 1000\n", nil},
		"no time":           {containerCPU + labels + "2.5\n" + containerMemory + labels + "1024 1000\n", nil},
		"nobody's":          {containerCPU + "{container=\"app\"} 2.5 1000\n" + containerMemory + labels + "1024 1000\n", nil},
		"no number":         {containerCPU + labels + "NaN 1000\n" + containerMemory + labels + "-1 1000\n", map[string]point{"app": {at: time.UnixMilli(1000)}}},
		"nothing":           {"", nil},
		"what is not asked": {"container_swap_usage_bytes" + labels + "7 1000\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			current, err := parse(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, current.pods[sample], cmp.AllowUnexported(point{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := parse(strings.NewReader("<html>not found</html>\n")); err == nil {
		t.Error("a page was read as figures")
	}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	second := func(n float64) time.Time { return time.UnixMilli(int64(1e6 + n*1e3)) }
	for name, test := range map[string]struct {
		points []point
		window time.Duration
		usage  string
	}{
		"one":                      {[]point{{at: second(1), cpu: 1}}, 0, ""},
		"two":                      {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 2, memory: 2048}}, 2 * time.Second, "500m 2Ki"},
		"the same one again":       {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 2}, {at: second(3), cpu: 2}}, 2 * time.Second, "500m 0"},
		"an older one":             {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 2}, {at: second(2), cpu: 9}}, 2 * time.Second, "500m 0"},
		"three":                    {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 2}, {at: second(4), cpu: 2.25}}, time.Second, "250m 0"},
		"started again":            {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 5, started: second(2)}}, 0, ""},
		"started again, seen late": {[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 0.5}}, 0, ""},
		"and measured since": {
			[]point{{at: second(1), cpu: 1}, {at: second(3), cpu: 5, started: second(2)}, {at: second(5), cpu: 5.5, started: second(2)}},
			2 * time.Second, "250m 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p pair
			for _, now := range test.points {
				p = p.next(now)
			}
			if p.window() != test.window {
				t.Fatalf("the window is %s, want %s", p.window(), test.window)
			}
			if test.window > 0 && plain(p.usage()) != test.usage {
				t.Errorf("it uses %s, want %s", plain(p.usage()), test.usage)
			}
		})
	}
}

// TestPodHasUsageOfAllContainers: a pod has no usage while one of its containers is new or was restarted; a removed container does not matter.
func TestPodHasUsageOfAllContainers(t *testing.T) {
	t.Parallel()
	var h history
	at := func(n int64, containers ...string) reading {
		current := reading{pods: map[types.NamespacedName]map[string]point{sample: {}}}
		for _, name := range containers {
			current.pods[sample][name] = point{at: time.Unix(n, 0), cpu: float64(n)}
		}
		return current
	}
	for _, step := range []struct {
		current reading
		want    bool
	}{
		{at(1, "a", "init"), false}, {at(2, "a", "init"), true}, {at(3, "a"), true}, {at(4, "a", "b"), false}, {at(5, "a", "b"), true}, {at(6), false},
	} {
		h.add("sandbox", step.current)
		if _, known := h.pod(sample); known != step.want {
			t.Errorf("after %v: reported is %v", step.current.pods[sample], known)
		}
	}
	h.add("sandbox", reading{})
	if _, known := h.pod(sample); known {
		t.Error("a deleted pod is reported")
	}
}
