package localaws

import (
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// Quota limits the requests to a route: a bucket of Burst credits, of which PerSecond come back each second.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors.html (HTTP 429)
type Quota struct {
	PerSecond float64
	Burst     int
}

// DocumentedQuotas are ECR's default quotas that a client of this server can reach. A manifest that is pushed to the registry counts as a PutImage.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (Rate of PutImage requests)
func DocumentedQuotas() map[Route]Quota {
	return map[Route]Quota{RoutePutImage: {PerSecond: 10, Burst: 10}}
}

// quotas throttles requests.
type quotas struct {
	mu       sync.Mutex
	limiters map[Route]*rate.Limiter
	refused  map[Route]int
}

// SetQuotas enforces quotas from now on; a route without one has no limit. A request above its quota has no effect and is answered as AWS does: by
// the API with 400 ThrottlingException, by the registry with 429 TOOMANYREQUESTS.
func (s *Server) SetQuotas(given map[Route]Quota) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.limiters, s.quotas.refused = map[Route]*rate.Limiter{}, map[Route]int{}
	for route, quota := range given {
		s.quotas.limiters[route] = rate.NewLimiter(rate.Limit(quota.PerSecond), quota.Burst)
	}
}

// Throttled returns how many requests to a route were above its quota since SetQuotas.
func (s *Server) Throttled(route Route) int {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	return s.quotas.refused[route]
}

// wrap throttles a request that is above its quota.
func (q *quotas) wrap(route Route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := route
		if route == RouteManifest && r.Method == http.MethodPut {
			counted = RoutePutImage
		}
		if q.allows(counted) {
			next.ServeHTTP(w, r)
			return
		}
		refuse := ThrottlingException()
		if route.isRegistry() {
			refuse = Throttle(0)
		}
		refuse(next).ServeHTTP(w, r)
	})
}

// allows reports whether the route's bucket has a credit left, and takes one. It counts a throttled request.
func (q *quotas) allows(route Route) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	limiter := q.limiters[route]
	if limiter == nil || limiter.Allow() {
		return true
	}
	q.refused[route]++
	return false
}
