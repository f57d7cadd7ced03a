package localaws

import (
	"net/http"
	"sync"
)

// Fault says which requests fail, and how. The zero value of a condition matches any request.
type Fault struct {
	Route  Route
	Method string

	// Match narrows the requests further; it must not read the body.
	Match func(*http.Request) bool

	// Skip is how many matching requests pass first; Times is how many then fail, 0 for all.
	Skip  int
	Times int

	// Do is what happens to them: Answer, Throttle, ThrottlingException, Unauthorized, LoseAnswer, ResetUpload,
	// AnswerWrongBytes, AnswerHugeManifest, Delay or any other middleware.
	Do Action
}

// Action is middleware in front of the server; next is the server's own handler.
type Action func(next http.Handler) http.Handler

// Injected is a fault that has been injected.
type Injected struct {
	fault   Fault
	faults  *faults
	matched int
	hits    int
}

// Hits returns how many requests the fault has hit.
func (i *Injected) Hits() int {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	return i.hits
}

// Remove ends the fault.
func (i *Injected) Remove() {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	for at, other := range i.faults.injected {
		if other == i {
			i.faults.injected = append(i.faults.injected[:at:at], i.faults.injected[at+1:]...)
			return
		}
	}
}

type faults struct {
	mu       sync.Mutex
	injected []*Injected
}

// Inject adds a fault. Of several that match one request, the first that is not used up hits it; the others do not count it.
func (s *Server) Inject(fault Fault) *Injected {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	injected := &Injected{fault: fault, faults: &s.faults}
	s.faults.injected = append(s.faults.injected, injected)
	return injected
}

// ClearFaults ends every fault.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.injected = nil
}

// wrap applies the first fault that matches a request.
func (f *faults) wrap(route Route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if action := f.match(route, r); action != nil {
			action(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// match returns the action of the first fault that hits a request, or nil.
func (f *faults) match(route Route, r *http.Request) Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, injected := range f.injected {
		fault := injected.fault
		if fault.Route != "" && fault.Route != route || fault.Method != "" && fault.Method != r.Method ||
			fault.Match != nil && !fault.Match(r) || fault.Times > 0 && injected.hits >= fault.Times {
			continue
		}
		injected.matched++
		if injected.matched <= fault.Skip {
			continue
		}
		injected.hits++
		return fault.Do
	}
	return nil
}
