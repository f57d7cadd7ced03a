package main

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// recorder remembers the status and size of a response.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(body []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(body)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// observe adds the commit to every response, counts it, logs it, and makes clients reconnect elsewhere while the service
// drains.
func (s *Service) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		w.Header().Set("X-Commit", s.build.Commit)
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		recorder := &recorder{ResponseWriter: w}
		next.ServeHTTP(recorder, r)
		if recorder.status == 0 {
			recorder.status = http.StatusOK // what net/http sends for a handler that wrote nothing
		}
		spent := time.Since(began)
		route := r.Pattern
		if route == "" {
			route = "none"
		}
		s.seconds.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(recorder.status)).Observe(spent.Seconds())
		s.log.Log(r.Context(), level(r.URL.Path), "request", "method", r.Method, "path", r.URL.Path, "status", recorder.status,
			"bytes", recorder.bytes, "seconds", spent.Seconds(), "remote", r.RemoteAddr, "agent", r.UserAgent())
	})
}

// methodLabel returns the method as a metric label. A client may send any word as a method, and each would become a separate series.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// level is debug for the requests of probes, so that they do not fill the log.
func level(path string) slog.Level {
	switch path {
	case "/healthz", "/readyz":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
