package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Build identifies the running image.
type Build struct {
	Commit string `json:"commit"`
	Built  string `json:"built"`
	Digest string `json:"digest,omitempty"`
}

// Service serves the endpoints.
type Service struct {
	config   Config
	build    Build
	store    *sql.DB // nil if there is none
	log      *slog.Logger
	draining atomic.Bool
	metrics  *prometheus.Registry
	seconds  *prometheus.HistogramVec
}

// NewService returns a ready service. Without a store it has no baskets.
func NewService(config Config, build Build, store *sql.DB, log *slog.Logger) *Service {
	s := &Service{config: config, build: build, store: store, log: log, metrics: prometheus.NewRegistry()}
	s.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time to answer a request.", Buckets: prometheus.DefBuckets,
	}, []string{"route", "method", "status"})
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "app_build_info", Help: "What is running; always 1."},
		[]string{"commit", "environment"})
	info.WithLabelValues(build.Commit, config.Environment).Set(1)
	s.metrics.MustRegister(s.seconds, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// maxBody is the largest body of a request, in bytes.
const maxBody = 1 << 20

// Handler serves the routes, which it counts and logs. The metrics are not among them: a load balancer leads here.
func (s *Service) Handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", s.greet)
	routes.HandleFunc("GET /configs", s.configs)
	routes.HandleFunc("GET /healthz", s.healthz)
	routes.HandleFunc("GET /readyz", s.readyz)
	routes.HandleFunc("GET /version", s.version)
	if s.store != nil {
		routes.HandleFunc("GET /baskets", s.listBaskets)
		routes.HandleFunc("POST /baskets", s.addBasket)
	}
	return http.MaxBytesHandler(s.observe(routes), maxBody)
}

// Metrics serves GET /metrics and nothing else.
func (s *Service) Metrics() http.Handler {
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return routes
}

func (s *Service) greet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s from %s, commit %s\n", s.config.Greeting, s.config.Environment, s.build.Commit)
}

// healthz reports that the process is alive; also while it drains, or the kubelet would kill it.
func (s *Service) healthz(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, map[string]string{"status": "alive"})
}

func (s *Service) readyz(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		s.json(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
		return
	}
	s.json(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (s *Service) version(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.build)
}

func (s *Service) json(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.log.Warn("writing a response", "error", err)
	}
}
