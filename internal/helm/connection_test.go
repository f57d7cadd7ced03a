package helm

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// logSink counts the lines that client-go logs.
type logSink struct{ lines *int }

func (logSink) Init(klog.RuntimeInfo)            {}
func (logSink) Enabled(level int) bool           { return level == 0 }
func (s logSink) Info(int, string, ...any)       { *s.lines++ }
func (s logSink) Error(error, string, ...any)    { *s.lines++ }
func (s logSink) WithValues(...any) klog.LogSink { return s }
func (s logSink) WithName(string) klog.LogSink   { return s }

// TestDiscoveryLogsNothing: its error is returned, and client-go's own line about it would stand between the reporter's.
func TestDiscoveryLogsNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"major":"1","minor":"36"}`))
	}))
	t.Cleanup(server.Close)
	lines := 0
	ctx := klog.NewContext(t.Context(), klog.New(logSink{&lines}))
	if _, err := discover(ctx, &rest.Config{Host: server.URL}); err == nil || lines > 0 {
		t.Errorf("got %v, and %d lines of client-go", err, lines)
	}
}
