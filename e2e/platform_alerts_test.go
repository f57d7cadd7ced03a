package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// TestPlatformAlerts has Prometheus find and scrape the release's pods as the chart's PodMonitor says, with the chart's own rules.
// The load balancer serves no metrics. Nothing alerts while /configs works; a commit that breaks it, rolled out without a smoke
// check, does.
func TestPlatformAlerts(t *testing.T) {
	onNode(t)
	program := prometheusProgram(t)
	tree := newCheckout(t)
	const namespace = "alerts"
	// The kinds of the rules and of the monitor are not on the node, so the release goes without them, and Prometheus gets what the
	// chart renders.
	tree.write("two.yaml", "replicas: 2\n")
	deployed, got := tree.deploy(t.Context(), namespace, tree.build(), "--values", "two.yaml")
	got.expect(t, 0)
	if status := getStatus(t, deployed.URL+"/metrics"); status != http.StatusNotFound {
		t.Errorf("by the load balancer, /metrics answers %d", status)
	}
	p := startPrometheus(t, program, namespace, platformObject(t, namespace, "PodMonitor"), platformObject(t, namespace, "PrometheusRule"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := startLoad(ctx, deployed.URL, 1)
	await(t, "a rate of requests, scraped", func() bool {
		return p.value(t, `sum(rate(http_request_duration_seconds_count{route="GET /configs",status="200"}[5m]))`) > 0
	})
	if n := p.value(t, `count(app_build_info{environment="`+namespace+`",commit="`+deployed.Commit.String()+`"})`); n != 2 {
		t.Errorf("of this release's two pods %v were scraped", n)
	}
	p.evaluated(t)
	if alerts := p.alerts(t); len(alerts) != 0 {
		t.Errorf("while all is well: %v", alerts)
	}

	tree.edit("app/configs.go", "s.json(w, http.StatusOK,", "s.json(w, http.StatusInternalServerError,")
	tree.commit("break /configs")
	before := time.Now()
	_, got = tree.deploy(t.Context(), namespace, tree.build(), "--values", "two.yaml", "--rollback", "off")
	got.expect(t, 0)
	if status := getStatus(t, deployed.URL+"/configs"); status != http.StatusInternalServerError {
		t.Fatalf("/configs answers %d: it was to be broken", status)
	}
	p.rescrape()
	await(t, "the alert", func() bool { return p.alerts(t)["ServiceRouteFailing"] == "firing" })
	alerts := p.alerts(t)
	t.Logf("%.0f s after the deploy was begun: %v", time.Since(before).Seconds(), alerts)
	for _, quiet := range []string{"ServiceNotServing", "ServiceRouteSlow"} {
		if alerts[quiet] != "" {
			t.Errorf("%s is %s, and nothing of that kind happened", quiet, alerts[quiet])
		}
	}
	cancel()
	load.wait.Wait()
}

// prometheusProgram returns the path of Prometheus, which scripts/unpack.sh unpacks.
func prometheusProgram(t *testing.T) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(site.root, "scripts", "unpack.sh"), "prometheus", "promtool", "prometheus")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	directory, err := command.Output()
	if err != nil {
		t.Fatalf("getting Prometheus: %v\n%s", err, stderr.String())
	}
	return filepath.Join(strings.TrimSpace(string(directory)), "prometheus")
}

// platformObject is the one object of a kind that the chart renders with its monitoring switched on.
func platformObject(t *testing.T, namespace, kind string) unstructured.Unstructured {
	t.Helper()
	for _, object := range rendered(t, namespace, "shop", "terraform/staging/values-staging.yaml", "e2e/testdata/platform/alerts.yaml") {
		if object.GetKind() == kind {
			return *object
		}
	}
	t.Fatalf("the chart rendered no %s", kind)
	return unstructured.Unstructured{}
}

// prometheus is a running one.
type prometheus struct {
	url      string
	rescrape func() // looks the pods up again
}

// scrapeConfig is a configuration of Prometheus with the pods that the monitor selects now.
func scrapeConfig(t *testing.T, namespace, host string, monitor unstructured.Unstructured) []byte {
	t.Helper()
	var spec struct {
		JobLabel string
		Selector struct{ MatchLabels map[string]string }

		PodMetricsEndpoints []struct{ Port, Path string }
	}
	text, err := yaml.Marshal(monitor.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	if len(spec.PodMetricsEndpoints) != 1 || len(spec.Selector.MatchLabels) == 0 {
		t.Fatalf("the monitor is %s", text)
	}
	endpoint := spec.PodMetricsEndpoints[0]
	pods, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{LabelSelector: labels.SelectorFromSet(spec.Selector.MatchLabels).String()})
	if err != nil {
		t.Fatal(err)
	}
	targets := []map[string]any{}
	for _, pod := range pods.Items {
		for _, port := range pod.Spec.Containers[0].Ports {
			if port.Name != endpoint.Port {
				continue
			}
			path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy%s", namespace, pod.Name, port.ContainerPort, endpoint.Path)
			targets = append(targets, map[string]any{"targets": []string{strings.TrimPrefix(host, "https://")}, "labels": map[string]string{
				"__metrics_path__": path, "namespace": namespace, "pod": pod.Name, "instance": pod.Name, "job": pod.Labels[spec.JobLabel],
			}})
		}
	}
	config, err := yaml.Marshal(map[string]any{
		"global":     map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{"rules.yaml"},
		"scrape_configs": []map[string]any{{
			"job_name": "pods", "scheme": "https", "static_configs": targets,
			"tls_config": map[string]any{"ca_file": "ca", "cert_file": "cert", "key_file": "key"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// startPrometheus scrapes a release's pods each second, by the node's API server, which is what a host reaches of the node. The targets
// are those of the chart's PodMonitor, labelled as its operator labels them: by the monitor's selector and port, with the namespace,
// and with the monitor's label of the pod for the job.
func startPrometheus(t *testing.T, program, namespace string, monitor, rule unstructured.Unstructured) prometheus {
	t.Helper()
	dir := t.TempDir()
	groups, found, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	if err != nil || !found || len(groups) == 0 {
		t.Fatalf("the rule has no groups: %v", err)
	}
	rules, err := yaml.Marshal(map[string]any{"groups": groups})
	if err != nil {
		t.Fatal(err)
	}
	admin := adminConfig(t)
	for name, text := range map[string][]byte{"rules.yaml": rules, "ca": admin.CAData, "cert": admin.CertData, "key": admin.KeyData,
		"prometheus.yaml": scrapeConfig(t, namespace, admin.Host, monitor)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	command := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen, "--log.level=warn")
	command.Stdout, command.Stderr = testLog{t}, testLog{t}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("Prometheus ended with %v", err)
		}
	})
	p := prometheus{url: "http://" + listen, rescrape: func() {
		if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), scrapeConfig(t, namespace, admin.Host, monitor), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := command.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}}
	await(t, "Prometheus", func() bool {
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// ask reads the data of an answer of the HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/).
func (p prometheus) ask(t *testing.T, path string, data any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("asking Prometheus for %s: %v, %s %s", path, err, answer.Status, answer.Error)
	}
}

// value is that of an expression with one result, and 0 without any.
func (p prometheus) value(t *testing.T, expression string) (number float64) {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]json.RawMessage }
	}
	p.ask(t, "query?query="+url.QueryEscape(expression), &data)
	if len(data.Result) == 0 {
		return 0
	}
	var text string
	if err := json.Unmarshal(data.Result[0].Value[1], &text); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(text, &number); err != nil {
		t.Fatal(err)
	}
	return number
}

// alerts are those that are pending or firing, by name.
func (p prometheus) alerts(t *testing.T) map[string]string {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	p.ask(t, "alerts", &data)
	states := map[string]string{}
	for _, alert := range data.Alerts {
		states[alert.Labels["alertname"]] = alert.State
	}
	return states
}

// evaluated waits until every rule has been evaluated twice from now on, and fails if one cannot be.
func (p prometheus) evaluated(t *testing.T) {
	t.Helper()
	type rule struct {
		Name, Health, LastError string
		LastEvaluation          time.Time
	}
	var data struct {
		Groups []struct{ Rules []rule }
	}
	now := time.Now()
	await(t, "every rule to be evaluated", func() bool {
		p.ask(t, "rules", &data)
		count := 0
		for _, group := range data.Groups {
			for _, rule := range group.Rules {
				count++
				if rule.Health == "err" {
					t.Fatalf("%s: %s", rule.Name, rule.LastError)
				}
				if rule.Health != "ok" || !rule.LastEvaluation.After(now.Add(2*time.Second)) {
					return false
				}
			}
		}
		return count > 0
	})
}
