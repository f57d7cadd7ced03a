// Package registry reads and writes images in any OCI registry: it finds, pushes, tags and copies them and attaches content
// to them. What it reads by a digest has the digest's bytes; what it writes keeps them.
package registry

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Credentials returns the user name and password for a registry host; both empty means anonymous. It is called once for
// each host, and again after the registry refused what it returned.
type Credentials func(ctx context.Context, host string) (username, password string, err error)

// Options of a Client; every field may be left empty.
type Options struct {
	Credentials  Credentials
	Refused      func(host string) // called when the registry refused those credentials, before Credentials is called again
	DockerConfig bool              // use what `docker login` stored if Credentials returns nothing
	Fallback     Credentials       // used if neither has credentials; nil: anonymous
	Transport    http.RoundTripper // nil: one with time limits that connects to no link-local address
	// Pace is called before a manifest is pushed to a host, and returns when that may be done; nil: at once.
	Pace func(ctx context.Context, host string) error
	// Native returns the registry's own API at a host, which reads referrers in fewer requests; nil for a registry that has none. A nil Native is
	// the same for every host.
	Native    func(ctx context.Context, host string) (NativeReferrers, error)
	Log       func(line string) // gets a line for each retry; nil: nobody
	UserAgent string
	PlainHTTP []string      // hosts, with their ports, that are spoken to without TLS; those of this machine always are
	Secrets   *text.Secrets // gets every credential that is sent; may be nil
}

// Client talks to OCI registries. It may be used from several goroutines.
type Client struct {
	options   Options
	transport http.RoundTripper

	mu     sync.Mutex
	logins map[string]*login // by host
}

// maxParallelBlobs is how many blobs are uploaded at once. ECR allows far more requests, but a few fill a runner's uplink.
const maxParallelBlobs = 6

// New makes a Client; it sends no request.
func New(options Options) *Client {
	if options.Log == nil {
		options.Log = func(string) {}
	}
	if options.Pace == nil {
		options.Pace = func(context.Context, string) error { return nil }
	}
	if options.Native == nil {
		options.Native = func(context.Context, string) (NativeReferrers, error) { return nil, nil }
	}
	if options.UserAgent == "" {
		options.UserAgent = "onedigest"
	}
	if options.Transport == nil {
		options.Transport = defaultTransport()
	}
	options.Transport = httpx.CollectCredentials(options.Transport, options.Secrets)
	return &Client{
		options:   options,
		transport: &httpx.RetryTransport{Next: options.Transport, Throttled: asksToSlowDown, Transient: isTransient, Log: options.Log},
		logins:    map[string]*login{},
	}
}

// repository is one repository with a session of its registry.
type repository struct {
	name    release.Repository
	side    string // as a Fault names it
	at      name.Repository
	session *session
	client  *http.Client
}

// open starts a session that may pull from the repository and, if push is set, push to it. Mounts are further repositories
// of the same registry that it may pull from. It sends no request.
func (c *Client) open(side string, repo release.Repository, push bool, mounts ...release.Repository) (*repository, error) {
	action := "pull"
	if push {
		action = "push,pull"
	}
	return c.openFor(side, repo, action, mounts...)
}

// openFor starts a session for the actions of a token's scope, with commas between them. Source: distribution, "Token Scope Documentation".
func (c *Client) openFor(side string, repo release.Repository, action string, mounts ...release.Repository) (*repository, error) {
	var options []name.Option
	if c.schemeOf(repo.Host()) == "http" {
		options = append(options, name.Insecure) // ggcr recognizes fewer addresses of this machine
	}
	at, err := name.NewRepository(repo.String(), options...)
	if err != nil {
		return nil, release.BadInput("repository", sanitize(err.Error()), "give it as host/path")
	}
	scopes := []string{at.Scope(action)}
	for _, mount := range mounts {
		scopes = append(scopes, fmt.Sprintf("repository:%s:pull", mount.Path()))
	}
	slices.Sort(scopes[1:])
	session := &session{
		login:     c.login(at.RegistryStr(), repo.Host()),
		registry:  at.Registry,
		scheme:    c.schemeOf(at.RegistryStr()),
		scopes:    slices.Compact(scopes),
		next:      c.transport,
		userAgent: c.options.UserAgent,
	}
	return &repository{
		name: repo, side: side, at: at, session: session,
		client: &http.Client{Transport: session, CheckRedirect: session.checkRedirect},
	}, nil
}

// url returns the URL of a path in the repository, such as manifests/latest.
// Source: OCI distribution-spec, "Endpoints".
func (r *repository) url(rest ...string) string {
	return r.session.scheme + "://" + r.at.RegistryStr() + "/v2/" + r.at.RepositoryStr() + "/" + strings.Join(rest, "/")
}
