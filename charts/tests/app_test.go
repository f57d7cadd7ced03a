package charts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// application builds and starts the sample app until the test ends.
type application struct{ address, metrics string }

func start(t *testing.T) application {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = "../../app"
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the app: %v\n%s", err, output)
	}
	var listeners [2]net.Listener // both are held until two ports are known, so that they differ
	var addresses, ports [2]string
	for i := range listeners {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i], addresses[i] = listener, listener.Addr().String()
		_, ports[i], _ = net.SplitHostPort(addresses[i])
	}
	for _, listener := range listeners {
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, binary)
	command.Env = []string{"PORT=" + ports[0], "METRICS_PORT=" + ports[1]}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = command.Wait() // it was killed
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"msg":"serving"`) {
			go func() { _, _ = io.Copy(io.Discard, output) }()
			return application{address: addresses[0], metrics: addresses[1]}
		}
	}
	t.Fatal("the app ended before it served")
	return application{}
}

func (a application) get(t *testing.T, path string) []byte {
	t.Helper()
	return get(t, "http://"+a.address+path)
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := new(http.Client).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// exposed returns the app's metrics with their labels and values, as Prometheus would store them.
func (a application) exposed(t *testing.T) map[string]map[string][]string {
	t.Helper()
	textParser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := textParser.TextToMetricFamilies(bytes.NewReader(get(t, "http://"+a.metrics+"/metrics")))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string][]string{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			names := []string{name}
			if metric.GetHistogram() != nil {
				names = []string{name + "_count", name + "_sum", name + "_bucket"}
			}
			for _, stored := range names {
				if found[stored] == nil {
					found[stored] = map[string][]string{}
				}
				for _, label := range metric.GetLabel() {
					found[stored][label.GetName()] = append(found[stored][label.GetName()], label.GetValue())
				}
				if strings.HasSuffix(stored, "_bucket") {
					found[stored]["le"] = []string{"+Inf"}
				}
			}
		}
	}
	return found
}

// TestExpressionsNameWhatTheAppExposes compares the alerts and panels with the app's own metrics: each metric, label and route in
// an expression must exist.
func TestExpressionsNameWhatTheAppExposes(t *testing.T) {
	t.Parallel()
	app := start(t)
	for _, path := range []string{"/", "/configs", "/healthz", "/readyz", "/version"} {
		app.get(t, path)
	}
	exposed := app.exposed(t)
	recorded := map[string]bool{}
	expressions := map[string][]string{}
	for _, rule := range rules(t) {
		recorded[rule.Record] = true
		expressions[rule.Record+rule.Alert] = []string{rule.Expr}
	}
	maps.Copy(expressions, panels(t))
	looked := 0
	for where, list := range expressions {
		for _, expression := range list {
			parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
			if err != nil {
				t.Errorf("%s: %v in %s", where, err, expression)
				continue
			}
			parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
				selector, is := node.(*parser.VectorSelector)
				if !is || selector.Name == "up" || recorded[selector.Name] {
					return nil
				}
				looked++
				if exposed[selector.Name] == nil {
					t.Errorf("%s: the app exposes no %s", where, selector.Name)
				}
				for _, matcher := range selector.LabelMatchers {
					if wrong := unmatched(exposed[selector.Name], matcher); wrong != "" {
						t.Errorf("%s: %s of %s: %s", where, matcher, selector.Name, wrong)
					}
				}
				return nil
			})
		}
	}
	if looked < 20 {
		t.Errorf("only %d selectors were looked at", looked)
	}
}

// unmatched returns why a matcher can match nothing. Labels that a scrape adds, and statuses that only failures have, are accepted.
func unmatched(exposed map[string][]string, matcher *labels.Matcher) string {
	switch matcher.Name {
	case model.MetricNameLabel, "namespace", "job":
		return ""
	}
	if exposed[matcher.Name] == nil {
		return "there is no such label"
	}
	positive := *matcher
	if matcher.Type == labels.MatchNotRegexp {
		inverse, err := matcher.Inverse()
		if err != nil {
			return err.Error()
		}
		positive = *inverse // what is left out must exist, or leaving it out does nothing
	}
	if matcher.Name != "status" && !slices.ContainsFunc(exposed[matcher.Name], positive.Matches) {
		return fmt.Sprintf("its values are %q", exposed[matcher.Name])
	}
	return ""
}

// TestTheChartKnowsHowLongTheAppDrains compares the defaults with which the chart checks the grace period with the app's own.
func TestTheChartKnowsHowLongTheAppDrains(t *testing.T) {
	t.Parallel()
	var answer struct {
		Config struct{ DrainDelay, DrainLimit string }
	}
	if err := json.Unmarshal(start(t).get(t, "/configs"), &answer); err != nil {
		t.Fatal(err)
	}
	span := func(text string) int {
		duration, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return int(duration.Seconds())
	}
	for _, test := range []struct {
		set  string
		need int
	}{
		{"config.DRAIN_DELAY=40s", 40 + span(answer.Config.DrainLimit)},
		{"config.DRAIN_LIMIT=40s", 40 + span(answer.Config.DrainDelay)},
	} {
		for grace, refused := range map[int]bool{test.need - 1: true, test.need: false} {
			given := values(t, "", append([]string{test.set}, pinned...)...)
			given["terminationGracePeriodSeconds"] = grace
			_, err := render("shop", "staging", given)
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "terminationGracePeriodSeconds") {
				t.Errorf("%s with a grace period of %d: %v", test.set, grace, err)
			}
		}
	}
}
