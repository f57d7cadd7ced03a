package localaws

import (
	"net/http"
	"sync"
)

// Fault says which requests go wrong, and how. The zero value of each condition stands for any.
type Fault struct {
	Route  Route
	Method string

	// Match narrows the requests further; it must not read the body.
	Match func(*http.Request) bool

	// Skip lets that many matching requests pass first; Times then hits that many and no more, 0 hits all.
	Skip  int
	Times int

	// Do is what happens to them. See Answer, Throttle, ThrottlingException, Unauthorized, LoseAnswer, ResetUpload,
	// AnswerWrongBytes, AnswerHugeManifest and Delay; any other middleware will do.
	Do Action
}

// Action stands between a request and the server; next is the server's own answer.
type Action func(next http.Handler) http.Handler

// Injected is a fault at work.
type Injected struct {
	fault  Fault
	faults *faults
	seen   int
	hits   int
}

// Hits is how many requests the fault has hit; a test that injects one wants it above zero.
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

// Inject adds a fault. Of several that match one request, the one injected first and not yet used up hits it; the
// others do not count it.
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

// wrap puts the fault that is due between the request and next.
func (f *faults) wrap(asked call, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if action := f.due(asked, r); action != nil {
			action(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *faults) due(asked call, r *http.Request) Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, injected := range f.injected {
		fault := injected.fault
		if fault.Route != "" && fault.Route != asked.route || fault.Method != "" && fault.Method != r.Method ||
			fault.Match != nil && !fault.Match(r) || fault.Times > 0 && injected.hits >= fault.Times {
			continue
		}
		injected.seen++
		if injected.seen <= fault.Skip {
			continue
		}
		injected.hits++
		return fault.Do
	}
	return nil
}
