package main

import (
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

// observed stamps the commit on every response, counts it, logs it, and asks clients to reconnect elsewhere while
// the service drains.
func (s *Service) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		w.Header().Set("X-Commit", s.build.Commit)
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		recorder := &recorder{ResponseWriter: w}
		next.ServeHTTP(recorder, r)
		spent := time.Since(began)
		route := r.Pattern
		if route == "" {
			route = "none"
		}
		s.seconds.WithLabelValues(route, r.Method, strconv.Itoa(recorder.status)).Observe(spent.Seconds())
		s.log.Info("request", "method", r.Method, "path", r.URL.Path, "status", recorder.status, "bytes", recorder.bytes,
			"seconds", spent.Seconds(), "remote", r.RemoteAddr, "agent", r.UserAgent())
	})
}
