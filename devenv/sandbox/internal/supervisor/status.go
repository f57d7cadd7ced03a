package supervisor

import (
	"bufio"
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/balancer"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
)

// Phase is a sandbox's phase.
type Phase string

// The phases of a sandbox.
const (
	Starting Phase = "starting"
	Ready    Phase = "ready"
	Failed   Phase = "failed"
	// Stopped means that there is no supervisor.
	Stopped Phase = "stopped"
)

// Status is a sandbox's status.
type Status struct {
	Phase      Phase  `json:"phase"`
	Reason     string `json:"reason,omitempty"`
	Provider   string `json:"provider,omitempty"`
	Directory  string `json:"directory"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Server is the API server's URL on the host.
	Server    string `json:"server,omitempty"`
	NodeReady bool   `json:"nodeReady"`
	// Seconds is how long the supervisor has run.
	Seconds     float64  `json:"seconds,omitempty"`
	Supervisor  int      `json:"supervisorPid,omitempty"`
	Registries  []string `json:"registries,omitempty"`
	ECREndpoint string   `json:"ecrEndpoint,omitempty"`
	// TokenWebhook is the URL of the API server's token webhook.
	TokenWebhook string            `json:"tokenWebhook,omitempty"`
	Components   []Component       `json:"components,omitempty"`
	Stages       []Stage           `json:"stages,omitempty"`
	Services     []balancer.Served `json:"services,omitempty"`
	// Leftovers is what a stopped sandbox left behind.
	Leftovers []string `json:"leftovers,omitempty"`
}

// Component is one program of the node.
type Component struct {
	Name  string     `json:"name"`
	State node.State `json:"state"`
	Ready bool       `json:"ready"`
	// PID is the process's id on the host; 0 if it does not run.
	PID int `json:"pid"`
	// Seconds is how long it has been in its state.
	Seconds  float64 `json:"seconds"`
	Restarts int     `json:"restarts"`
	Note     string  `json:"note,omitempty"`
}

// Stage is a step of starting, and when it was reached, counted from the supervisor's start.
type Stage struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Status returns the sandbox's status.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{
		Phase: s.phase, Reason: s.reason, Provider: s.settings.Provider, Directory: string(s.dir),
		Kubeconfig: s.dir.Kubeconfig(), Server: s.server, NodeReady: s.nodeReady,
		Seconds: seconds(time.Since(s.began)), Supervisor: os.Getpid(),
		Registries: s.settings.Registries, ECREndpoint: s.settings.Login.Endpoint,
		TokenWebhook: s.settings.TokenWebhook, Stages: slices.Clone(s.stages),
	}
	pids := hostPIDs(s.group.Processes())
	for name, report := range s.reports {
		status.Components = append(status.Components, Component{
			Name: name, State: report.State, Ready: report.State == node.Ready, PID: pids[report.PID],
			Seconds: seconds(time.Since(report.At)), Restarts: report.Restarts, Note: report.Note,
		})
	}
	slices.SortFunc(status.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	if s.balancer != nil {
		status.Services = s.balancer.List()
	}
	return status
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// hostPIDs maps the ids of processes in the node's PID namespace to their ids on the host. Processes in pods, whose namespaces are
// one level deeper, are left out.
func hostPIDs(pids []int) map[int]int {
	found := map[int]int{}
	for _, pid := range pids {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
			numbers, ok := strings.CutPrefix(lines.Text(), "NSpid:")
			if fields := strings.Fields(numbers); ok && len(fields) >= 2 {
				inner, err := strconv.Atoi(fields[1])
				if err == nil {
					found[inner] = pid
				}
			}
		}
	}
	return found
}
