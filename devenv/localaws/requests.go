package localaws

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is one request to the server. After a caller has read the whole response, all fields except Took are final.
type Request struct {
	Route  Route
	Method string
	Path   string
	Query  string
	Status int // 0 before the answer, and for a lost answer
	In     int64
	Out    int64 // bytes of the bodies as read and written; headers are not counted
	Took   time.Duration
	Begins string // at most maxBegins bytes of the body of a request to AWS's API; "" of others
}

// maxBegins is how much of a body is kept, in bytes: enough to say what is asked for.
const maxBegins = 512

// maxLogged is the most requests that are logged; the older half is dropped when there are more.
const maxLogged = 1 << 16

// requestLog holds requests in the order of arrival.
type requestLog struct {
	mu       sync.Mutex
	requests []*Request
}

// Requests returns every request since the last ResetRequests, at most 65,536, in the order of arrival.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	copied := make([]Request, len(s.log.requests))
	for i, request := range s.log.requests {
		copied[i] = *request
	}
	return copied
}

// ResetRequests forgets the requests so far.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.requests = nil
}

// Count counts the requests to a route with a method; "" counts any route or method.
func (s *Server) Count(route Route, method string) int {
	count := 0
	for _, request := range s.Requests() {
		if (route == "" || request.Route == route) && (method == "" || request.Method == method) {
			count++
		}
	}
	return count
}

// counter is the ResponseWriter and the body of one request. It updates the request's entry while it serves, so that the entry is
// complete before the caller has read the response.
type counter struct {
	http.ResponseWriter
	log     *requestLog
	request *Request
	started time.Time
}

// begin logs a request and returns the counter that serves it.
func (l *requestLog) begin(w http.ResponseWriter, r *http.Request) *counter {
	c := &counter{ResponseWriter: w, log: l, started: time.Now(), request: &Request{
		Route: RouteUnknown, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
	}}
	r.Body = &countedBody{ReadCloser: r.Body, counter: c}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) >= maxLogged {
		l.requests = slices.Clone(l.requests[maxLogged/2:])
	}
	l.requests = append(l.requests, c.request)
	return c
}

func (c *counter) change(change func(*Request)) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	change(c.request)
}

func (c *counter) setRoute(route Route) { c.change(func(r *Request) { r.Route = route }) }

func (c *counter) WriteHeader(status int) {
	c.change(func(r *Request) {
		if r.Status == 0 {
			r.Status = status
		}
	})
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	c.change(func(r *Request) {
		if r.Status == 0 {
			r.Status = http.StatusOK
		}
		r.Out += int64(len(p))
	})
	return c.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counter) end() Request {
	var final Request
	c.change(func(r *Request) {
		r.Took = time.Since(c.started)
		final = *r
	})
	return final
}

type countedBody struct {
	io.ReadCloser
	counter *counter
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.counter.change(func(r *Request) {
			r.In += int64(n)
			if r.Path == "/" && len(r.Begins) < maxBegins {
				r.Begins += string(p[:min(n, maxBegins-len(r.Begins))])
			}
		})
	}
	return n, err
}
