package charts

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// rule is a rule of a PrometheusRule.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) (list []rule) {
	t.Helper()
	for _, object := range objects(t, manifest(t, "shop", "staging", values(t, everything))) {
		if object["kind"] != "PrometheusRule" {
			continue
		}
		for _, group := range field(object, "spec", "groups").([]any) {
			text, err := json.Marshal(field(group, "rules"))
			if err != nil {
				t.Fatal(err)
			}
			var read []rule
			if err := json.Unmarshal(text, &read); err != nil {
				t.Fatal(err)
			}
			list = append(list, read...)
		}
	}
	return list
}

// panels returns the dashboard's expressions by title.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, object := range objects(t, manifest(t, "shop", "staging", values(t, everything))) {
		text, is := field(object, "data", "staging-shop.json").(string)
		if !is {
			continue
		}
		var dashboard struct {
			UID, Title string
			Panels     []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
			t.Fatal(err)
		}
		if dashboard.Title != "staging / shop" || len(dashboard.UID) > 40 || strings.Contains(text, "__N") || strings.Contains(text, "__U") {
			t.Errorf("the dashboard is called %q, %q", dashboard.Title, dashboard.UID)
		}
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				// Grafana substitutes the interval, https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables
				found[panel.Title] = append(found[panel.Title], strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
			}
		}
	}
	return found
}

// series is one time series over four days, with a sample every minute.
type series struct {
	labels string
	at     func(minute int) float64
}

const minutes = 4 * 24 * 60

// steadily returns a counter that grows every minute.
func steadily(perMinute float64) func(int) float64 {
	return func(minute int) float64 { return perMinute * float64(minute) }
}

// lately returns a counter that grows only in the last minutes.
func lately(last int, perMinute float64) func(int) float64 {
	return func(minute int) float64 { return perMinute * float64(max(0, minute-(minutes-last))) }
}

func always(value float64) func(int) float64 { return func(int) float64 { return value } }

// watched is a store with the series, for queries.
type watched []storage.Series

func (w watched) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var chosen watched
		for _, s := range w {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
				chosen = append(chosen, s)
			}
		}
		return &set{chosen: chosen, next: -1}
	}}, nil
}

type set struct {
	chosen watched
	next   int
}

func (s *set) Next() bool                        { s.next++; return s.next < len(s.chosen) }
func (s *set) At() storage.Series                { return s.chosen[s.next] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

var metric = regexp.MustCompile(`(\w+)="([^"]*)"`)

// named parses name{label="value",…}.
func named(text string) []string {
	name, _, _ := strings.Cut(text, "{")
	list := []string{model.MetricNameLabel, name}
	for _, match := range metric.FindAllStringSubmatch(text, -1) {
		list = append(list, match[1], match[2])
	}
	return list
}

func watch(list []series) (w watched) {
	for _, s := range list {
		samples := make([]chunks.Sample, minutes+1)
		for minute := range samples {
			samples[minute] = sample{int64(minute) * time.Minute.Milliseconds(), s.at(minute)}
		}
		w = append(w, storage.NewListSeries(labels.FromStrings(named(s.labels)...), samples))
	}
	return w
}

// sample is a value at a time; these metrics have no other kind.
type sample struct {
	time  int64 // milliseconds
	value float64
}

func (s sample) T() int64                      { return s.time }
func (s sample) F() float64                    { return s.value }
func (s sample) ST() int64                     { return 0 }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// ask evaluates an expression at the end of the four days.
func ask(t *testing.T, w watched, expression string) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 24, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	query, err := engine.NewInstantQuery(t.Context(), w, nil, expression, time.UnixMilli(minutes*time.Minute.Milliseconds()))
	if err != nil {
		t.Fatalf("%v in %s", err, expression)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%v in %s", err, expression)
	}
	return vector
}

// firing returns the alerts whose expressions are true at the end of the four days, after the recording rules.
func firing(t *testing.T, rules []rule, list []series) []string {
	t.Helper()
	w := watch(list)
	names := map[string]bool{}
	for _, rule := range rules {
		vector := ask(t, w, rule.Expr)
		for _, result := range vector {
			if rule.Alert != "" {
				names[rule.Alert] = true
				continue
			}
			pairs := []string{model.MetricNameLabel, rule.Record}
			for name, value := range rule.Labels {
				pairs = append(pairs, name, value)
			}
			w = append(w, storage.NewListSeries(labels.FromStrings(pairs...), []chunks.Sample{sample{result.T, result.F}}))
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// TestAlerts evaluates the rules with Prometheus' own engine.
func TestAlerts(t *testing.T) {
	t.Parallel()
	const of = `namespace="staging",job="shop",method="GET",`
	count := func(route, status string, at func(int) float64) series {
		return series{"http_request_duration_seconds_count{" + of + `route="` + route + `",status="` + status + `"}`, at}
	}
	bucket := func(le string, at func(int) float64) series {
		return series{"http_request_duration_seconds_bucket{" + of + `route="GET /configs",status="200",le="` + le + `"}`, at}
	}
	up := series{`up{namespace="staging",job="shop",pod="a"}`, always(1)}
	down := series{`up{namespace="staging",job="shop",pod="a"}`, always(0)}
	right, root := count("GET /configs", "200", steadily(60)), count("GET /{$}", "200", steadily(600))
	for name, test := range map[string]struct {
		series []series
		want   []string
	}{
		"all is well":                  {[]series{up, right, root, bucket("0.1", steadily(60)), bucket("+Inf", steadily(60))}, nil},
		"nobody asks":                  {[]series{up}, nil},
		"nothing is scraped":           {nil, []string{"ServiceNotServing"}},
		"no pod answers":               {[]series{down, right}, []string{"ServiceNotServing"}},
		"one pod of two answers":       {[]series{up, {`up{namespace="staging",job="shop",pod="b"}`, always(0)}, right}, nil},
		"one of ten answers fails":     {[]series{up, right, root, count("GET /configs", "500", steadily(7))}, []string{"ServiceBudgetBurns", "ServiceBudgetBurnsFast", "ServiceRouteFailing"}},
		"every answer fails":           {[]series{up, count("GET /configs", "503", lately(10, 60))}, []string{"ServiceBudgetBurns", "ServiceBudgetBurnsFast", "ServiceRouteFailing"}},
		"five minutes of failing":      {[]series{up, right, root, count("GET /configs", "500", lately(5, 6))}, []string{"ServiceRouteFailing"}},
		"one answer of 500 fails":      {[]series{up, right, root, count("GET /{$}", "500", steadily(1.3))}, []string{"ServiceBudgetBurns"}},
		"one answer of 2,000 fails":    {[]series{up, right, root, count("GET /{$}", "500", steadily(0.3))}, nil},
		"the answer is no failure":     {[]series{up, right, count("none", "404", steadily(600)), count("GET /configs", "405", steadily(60))}, nil},
		"probes fail":                  {[]series{up, right, count("GET /readyz", "503", steadily(30))}, nil},
		"another namespace fails":      {[]series{up, right, {`http_request_duration_seconds_count{namespace="production",job="shop",route="GET /configs",status="500"}`, steadily(600)}}, nil},
		"one answer of ten takes 1 s":  {[]series{up, right, bucket("0.1", steadily(54)), bucket("1", steadily(60)), bucket("+Inf", steadily(60))}, []string{"ServiceRouteSlow"}},
		"one answer of 60 takes 1 s":   {[]series{up, right, bucket("0.1", steadily(59)), bucket("1", steadily(60)), bucket("+Inf", steadily(60))}, nil},
		"failing is over for an hour":  {[]series{up, right, root, count("GET /configs", "500", func(minute int) float64 { return float64(30 * max(0, min(minute, minutes-60)-(minutes-120))) })}, nil},
		"a budget gone in former days": {[]series{up, right, root, count("GET /configs", "500", func(minute int) float64 { return float64(600 * min(minute, minutes-12*60)) })}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, firing(t, rules(t), test.series)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAlertsSayWhatIsWrong checks that every alert names the release, its severity and a page to read.
func TestAlertsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	alerts := 0
	for _, rule := range rules(t) {
		if rule.Alert == "" {
			continue
		}
		alerts++
		if rule.Labels["severity"] == "" || rule.Labels["namespace"] != "staging" || rule.Labels["service"] != "shop" ||
			!strings.Contains(rule.Annotations["summary"], "staging/shop") || rule.Annotations["runbook_url"] == "" {
			t.Errorf("%s has %v and %v", rule.Alert, rule.Labels, rule.Annotations)
		}
	}
	if alerts != 5 {
		t.Errorf("%d alerts", alerts)
	}
}
