package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// control serves the sandbox's socket, which only root can open.
func (s *Supervisor) control(stop func()) (*http.Server, error) {
	if err := os.RemoveAll(s.dir.Control()); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", s.dir.Control())
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(s.dir.Control(), 0o600); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Status(), nil) })
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		stop()
	})
	mux.HandleFunc("POST /registries", func(w http.ResponseWriter, r *http.Request) {
		var wanted place.Settings
		err := json.NewDecoder(r.Body).Decode(&wanted)
		if err == nil {
			err = s.addRegistries(wanted.Registries, wanted.Login)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, r *http.Request) {
		var order node.Order
		err := json.NewDecoder(r.Body).Decode(&order)
		if err == nil {
			err = s.order(order)
		}
		answer(w, struct{}{}, err)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serving the control socket", "error", err)
		}
	}()
	return server, nil
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body) //nolint:errcheck,gosec // the caller has gone if it fails
}

// addRegistries lets pods pull from further registries, and log in by another ECR endpoint if the login has one. The kubelet reads
// its credential providers only at start, so it is restarted; pods keep running.
func (s *Supervisor) addRegistries(registries []string, login place.Login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != Ready {
		return fmt.Errorf("the sandbox is %s: %s", s.phase, s.reason)
	}
	next := s.settings
	next.Registries = slices.Clone(next.Registries)
	for _, registry := range registries {
		if !slices.Contains(next.Registries, registry) {
			next.Registries = append(next.Registries, registry)
		}
	}
	if login.Endpoint != "" {
		next.Login = login
	}
	if slices.Equal(next.Registries, s.settings.Registries) && next.Login == s.settings.Login {
		return nil
	}
	before := s.settings
	s.settings = next
	err := errors.Join(node.WriteRegistries(s.dir, next.Registries), node.WriteLogin(s.dir, next))
	if err == nil {
		err = s.connectRegistries()
	}
	if err != nil {
		s.settings = before
		return err
	}
	if err := s.dir.Save(next); err != nil {
		return err
	}
	if s.restartKubelet != nil {
		return s.restartKubelet()
	}
	report := s.reports["kubelet"]
	report.State = node.Starting // until the kubelet's next report
	s.reports["kubelet"] = report
	return s.send(node.Order{Stop: "kubelet"})
}

// order sends an order to the node.
func (s *Supervisor) order(order node.Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.reports[order.Stop]; !known {
		return fmt.Errorf("no component %q", order.Stop)
	}
	if order.Seconds < 0 || order.Seconds > 3600 {
		return fmt.Errorf("%v seconds is not between 0 and 3600", order.Seconds)
	}
	return s.send(order)
}

func (s *Supervisor) send(order node.Order) error {
	line, err := json.Marshal(order)
	if err != nil {
		return err
	}
	if _, err := s.orders.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("sending an order to the node: %w", err)
	}
	return nil
}
