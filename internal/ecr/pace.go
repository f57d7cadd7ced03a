package ecr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/time/rate"
)

// The default quota of PutImage, by which a Client paces itself until ECR shows that the account has another.
// Source: Amazon ECR User Guide, "Amazon ECR service quotas", "Rate of PutImage requests": 10 per second in each Region, adjustable.
const (
	putsPerSecond = 10
	slowestPuts   = 1   // per second
	fastestPuts   = 200 // per second

	throttledPatience = 2 * time.Minute // of throttled requests alone, of all callers, after which a request is given up
)

// pacer spaces requests of one kind so that an account's quota is used and not exceeded. ECR throttles by a bucket of credits that refills with
// the quota's rate (Amazon ECR User Guide, "Troubleshooting Amazon ECR error messages", HTTP 429). A throttled request makes the rate a
// fifth lower, and each accepted one makes it a little higher, so that it finds a raised quota, and its share of one that other runs use too.
type pacer struct {
	limiter *rate.Limiter

	mu      sync.Mutex
	lowered time.Time // when the rate was made lower
	served  time.Time // when ECR last answered a request without throttling it; zero: never
	logged  bool      // whether it was logged that requests are throttled
}

func newPacer() *pacer {
	return &pacer{limiter: rate.NewLimiter(putsPerSecond, putsPerSecond)}
}

// wait waits until the next request may be sent.
func (p *pacer) wait(ctx context.Context) error { return p.limiter.Wait(ctx) }

// answered notes that ECR answered a request, be it with an error.
func (p *pacer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = time.Now()
}

// hasPatience reports whether a request that was first sent at a time, and throttled ever since, may be sent again.
func (p *pacer) hasPatience(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served.After(since) {
		since = p.served
	}
	return time.Since(since) < throttledPatience
}

// firstThrottle reports whether no throttled request was logged yet, and notes that one is.
func (p *pacer) firstThrottle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.logged
	p.logged = true
	return first
}

// accepted makes the rate higher.
func (p *pacer) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limiter.SetLimit(min(fastestPuts, p.limiter.Limit()+1/p.limiter.Limit()))
}

// throttled lowers the rate, once for all requests that were throttled in one second, and empties the bucket.
func (p *pacer) throttled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.lowered) < time.Second {
		return
	}
	p.lowered = now
	p.limiter.SetLimit(max(slowestPuts, p.limiter.Limit()*4/5))
	p.limiter.SetBurst(1)
}

// Pace waits until a manifest may be pushed to a registry host without exceeding ECR's quota: ECR's registry calls PutImage for each manifest.
func (c *Client) Pace(ctx context.Context, host string) error {
	return c.pacer(c.locate(host)).wait(ctx)
}

// paced sends a PutImage, and sends it again while ECR throttles it, which is logged once. The SDK would give up after some attempts, which a run of
// many promotions reaches. If ECR throttles all requests for two minutes, the error is a *release.Fault.
func (c *Client) paced(ctx context.Context, at location, send func(context.Context) error) error {
	pacer, began := c.pacer(at), time.Now()
	for {
		if err := pacer.wait(ctx); err != nil {
			return err
		}
		err := send(ctx)
		switch {
		case !isThrottled(err):
			if err == nil {
				pacer.accepted()
			}
			pacer.answered()
			return err
		case ctx.Err() != nil:
			return err
		case !pacer.hasPatience(began):
			return &release.Fault{Side: "AWS", Err: fmt.Errorf("ECR throttled every PutImage for %s: %w", text.Duration(throttledPatience), &awsx.Error{Err: err}),
				Do: "run again later, or have AWS raise the account's quota of PutImage requests"}
		}
		if pacer.firstThrottle() {
			c.log("ECR throttles PutImage: requests are sent more slowly")
		}
		pacer.throttled()
	}
}

// isThrottled reports whether ECR refused a request because there were too many.
func isThrottled(err error) bool {
	_, is := retry.DefaultThrottleErrorCodes[awsx.Code(err)]
	var answer *awshttp.ResponseError
	return err != nil && (is || errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusTooManyRequests)
}

// notThrottled is a retryer that leaves throttled requests to the pacer.
type notThrottled struct{ aws.Retryer }

func (n notThrottled) IsErrorRetryable(err error) bool {
	return !isThrottled(err) && n.Retryer.IsErrorRetryable(err)
}

// pacer returns the pacer of a location, which all callers share.
func (c *Client) pacer(at location) *pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pacers[at] == nil {
		c.pacers[at] = newPacer()
	}
	return c.pacers[at]
}
