// Package metrics serves a sandbox's resource metrics, the API metrics.k8s.io/v1beta1, as metrics-server does on other
// clusters: HorizontalPodAutoscalers and `kubectl top` use it. The figures are the kubelet's.
package metrics

import (
	"fmt"
	"io"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"
)

// point is the usage of a container or a node in one reading.
type point struct {
	at      time.Time // when the kubelet measured it
	started time.Time // a container's start; zero for a node
	cpu     float64   // seconds used since then
	memory  float64   // working set in bytes
}

// reading is a kubelet's metrics at one time.
type reading struct {
	node point
	pods map[types.NamespacedName]map[string]point
}

// The kubelet's metrics that are used (https://kubernetes.io/docs/reference/instrumentation/metrics/).
const (
	containerCPU    = "container_cpu_usage_seconds_total"
	containerMemory = "container_memory_working_set_bytes"
	containerStart  = "container_start_time_seconds"
	nodeCPU         = "node_cpu_usage_seconds_total"
	nodeMemory      = "node_memory_working_set_bytes"
)

// parse reads a kubelet's /metrics/resource. A container without its CPU time, the time of that measurement, or its memory is left
// out, because no rate can be computed.
func parse(text io.Reader) (reading, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return reading{}, fmt.Errorf("reading the kubelet's figures: %w", err)
	}
	parsed := reading{pods: map[types.NamespacedName]map[string]point{}}
	for _, sample := range families[nodeCPU].GetMetric() {
		parsed.node.at, parsed.node.cpu = measuredAt(sample), value(sample)
	}
	for _, sample := range families[nodeMemory].GetMetric() {
		parsed.node.memory = value(sample)
	}
	memory := byContainer(families[containerMemory])
	start := byContainer(families[containerStart])
	for id, sample := range byContainer(families[containerCPU]) {
		p := point{at: measuredAt(sample), cpu: value(sample)}
		used, measured := memory[id]
		if p.at.IsZero() || !measured {
			continue
		}
		p.memory = value(used)
		if began, ok := start[id]; ok {
			p.started = time.UnixMicro(int64(value(began) * 1e6))
		}
		if parsed.pods[id.pod] == nil {
			parsed.pods[id.pod] = map[string]point{}
		}
		parsed.pods[id.pod][id.container] = p
	}
	return parsed, nil
}

// identity is a container of a pod.
type identity struct {
	pod       types.NamespacedName
	container string
}

// byContainer maps each container to its sample. It leaves out samples that name no container.
func byContainer(family *dto.MetricFamily) map[identity]*dto.Metric {
	found := map[identity]*dto.Metric{}
	for _, sample := range family.GetMetric() {
		var id identity
		for _, label := range sample.GetLabel() {
			switch label.GetName() {
			case "namespace":
				id.pod.Namespace = label.GetValue()
			case "pod":
				id.pod.Name = label.GetValue()
			case "container":
				id.container = label.GetValue()
			}
		}
		if id.pod.Namespace != "" && id.pod.Name != "" && id.container != "" {
			found[id] = sample
		}
	}
	return found
}

// value returns a sample's value, whatever its type; an invalid value counts as missing.
func value(sample *dto.Metric) float64 {
	v := sample.GetGauge().GetValue() + sample.GetCounter().GetValue() + sample.GetUntyped().GetValue()
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0
	}
	return v
}

// measuredAt returns the time of a sample, zero if it has none.
func measuredAt(sample *dto.Metric) time.Time {
	if sample.TimestampMs == nil {
		return time.Time{}
	}
	return time.UnixMilli(sample.GetTimestampMs())
}
