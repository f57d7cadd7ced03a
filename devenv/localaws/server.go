// Package localaws is an embedded stand-in for the parts of AWS that the pipeline meets: the ECR, STS and EKS APIs,
// reached by the SDK's ordinary endpoint variables, an OCI registry that keeps ECR's rules, and the webhook by which an
// EKS cluster knows whose a token is. It is real in what a caller can see (protocols, signatures, tokens, immutable tags,
// error bodies) and holds everything in memory or in one directory.
//
// Everything is served by one handler on one address: the registry under /v2/, the APIs at / and /clusters. A call that
// AWS knows and this package does not is refused (UnknownOperationException, InvalidAction), never answered with
// something made up.
// Faults can be injected per route, and every request is counted.
package localaws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// What a Server uses where Options leave a field empty. The credentials are no secret: they open only this server, and
// it listens where its owner lets it.
const (
	DefaultAccount         = "000000000000"
	DefaultRegion          = "us-east-1"
	DefaultAccessKeyID     = "AKIALOCALAWSEXAMPLE0"  // #nosec G101 -- well known
	DefaultSecretAccessKey = "localaws/not/a/secret" // #nosec G101 -- well known
)

// Options say what the server pretends to be and where it keeps things. The zero value is a server in memory.
type Options struct {
	// Dir holds repositories, manifests, blobs and the key that signs registry tokens, so that a server restarted on it
	// has them all. It is made if absent and belongs to one server at a time. Empty keeps everything in memory.
	Dir string

	Account string // twelve digits
	Region  string

	// AccessKeyID and SecretAccessKey are the one pair of credentials the APIs accept.
	AccessKeyID     string
	SecretAccessKey string

	// Now is the clock that token lifetimes and creation times are taken from; nil is the machine's. Signatures are
	// always held to the machine's clock, for that is what their signer read.
	Now func() time.Time

	// ClusterTokenLife is how long a token for an EKS cluster is good once it is signed, at most the 15 minutes that it is
	// with AWS; 0 is those. A short one shows what a client does when its token ends before it thought.
	ClusterTokenLife time.Duration

	// Log gets one record per request; nil logs nothing.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	for field, value := range map[*string]string{
		&o.Account: DefaultAccount, &o.Region: DefaultRegion,
		&o.AccessKeyID: DefaultAccessKeyID, &o.SecretAccessKey: DefaultSecretAccessKey,
	} {
		if *field == "" {
			*field = value
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ClusterTokenLife == 0 {
		o.ClusterTokenLife = stsPresigned
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2,}(?:-[a-z]+)+-[0-9]$`)
)

// Server is one pretended account in one region. It is safe for concurrent use. Make one with New.
type Server struct {
	options  Options
	store    *store
	tokens   *tokens
	uploads  *uploads
	blobs    http.Handler // go-containerregistry's registry; blobs only
	clusters clusters
	reviews  reviews
	log      requestLog
	faults   faults
	unlock   func() error

	mu       sync.Mutex
	address  string
	http     *http.Server
	finished chan error
	unasked  map[net.Conn]bool // connections that have asked nothing yet
}

// New makes a server, with what an earlier one left in Options.Dir. It listens to nothing yet: call Start, or use it as
// an http.Handler. Close it to free the directory.
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	if !accountPattern.MatchString(options.Account) {
		return nil, fmt.Errorf("account %q is not twelve digits", options.Account)
	}
	if !regionPattern.MatchString(options.Region) {
		return nil, fmt.Errorf("region %q is not a region's name, for example %s", options.Region, DefaultRegion)
	}
	if options.ClusterTokenLife < 0 || options.ClusterTokenLife > stsPresigned {
		return nil, fmt.Errorf("a cluster token's life of %s is not between 0 and %s", options.ClusterTokenLife, stsPresigned)
	}
	server := &Server{options: options, clusters: clusters{byName: map[string]madeCluster{}}, unlock: func() error { return nil }}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("making a token key: %w", err)
	}
	if options.Dir != "" {
		if err := os.MkdirAll(options.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("making %q: %w", options.Dir, err)
		}
		unlock, err := lockDir(options.Dir)
		if err != nil {
			return nil, err
		}
		server.unlock = unlock
		if key, err = keepKey(filepath.Join(options.Dir, KeyFile), key); err != nil {
			return nil, errors.Join(err, unlock())
		}
	}
	var err error
	if server.store, err = openStore(options.Dir, options.Now); err != nil {
		return nil, errors.Join(err, server.unlock())
	}
	server.tokens = newTokens(key, options.Now)
	server.uploads = newUploads(options.Dir)
	server.blobs = newBlobRegistry(server.store)
	return server, nil
}

// keepKey reads the key at path, or keeps the fresh one there.
func keepKey(path string, fresh []byte) ([]byte, error) {
	key, err := os.ReadFile(path) // #nosec G304 -- the server's own directory
	switch {
	case err == nil && len(key) == len(fresh):
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("reading %q: %d bytes, want %d", path, len(key), len(fresh))
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if err := writeFile(path, fresh); err != nil {
		return nil, err
	}
	return fresh, nil
}

// Start listens on address ("127.0.0.1:0" takes a free port) and serves until Close. It returns once requests are
// accepted.
func (s *Server) Start(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return fmt.Errorf("starting on %q: already serving on %s", address, s.address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %q: %w", address, err)
	}
	// No read or write timeout: a layer takes as long as it takes.
	serving := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		ConnState:         s.watch,
	}
	finished := make(chan error, 1)
	s.http, s.finished, s.unasked, s.address = serving, finished, map[net.Conn]bool{}, listener.Addr().String()
	go func() { finished <- serving.Serve(listener) }()
	return nil
}

// watch keeps track of the connections that a client opened in stock: Shutdown would wait five seconds for them to ask
// something.
func (s *Server) watch(connection net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.unasked[connection] = true
		return
	}
	delete(s.unasked, connection)
}

// Wait waits until the context ends, which is no error, or serving fails. The server is left to Close.
func (s *Server) Wait(ctx context.Context) error {
	s.mu.Lock()
	finished := s.finished
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil
	case err := <-finished:
		return fmt.Errorf("serving on %s: %w", s.Address(), err)
	}
}

// Address is host:port of the listener, or "" before Start.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// URL is the endpoint for AWS_ENDPOINT_URL_ECR, _EKS and _STS, or "" before Start.
func (s *Server) URL() string {
	if address := s.Address(); address != "" {
		return "http://" + address
	}
	return ""
}

// Env is the environment in which an AWS SDK or the aws command finds this server and nothing else, as KEY=value.
func (s *Server) Env() []string { return environment(s.URL(), s.options) }

// Environment is Env for a server of default options at a URL.
func Environment(url string) []string { return environment(url, Options{}.withDefaults()) }

func environment(url string, options Options) []string {
	return []string{
		"AWS_ENDPOINT_URL_ECR=" + url,
		"AWS_ENDPOINT_URL_EKS=" + url,
		"AWS_ENDPOINT_URL_STS=" + url,
		"AWS_ACCESS_KEY_ID=" + options.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + options.SecretAccessKey,
		"AWS_REGION=" + options.Region,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// closeGrace is how long Close waits for requests under way before it cuts them.
const closeGrace = 2 * time.Second

// Close stops listening, waits shortly for the requests under way, cuts the rest, and frees the directory. It may be
// called again, and no request may follow.
func (s *Server) Close() error {
	s.mu.Lock()
	serving, unlock := s.http, s.unlock
	s.http, s.unlock = nil, func() error { return nil }
	for connection := range s.unasked {
		_ = connection.Close()
	}
	s.mu.Unlock()

	var err error
	if serving != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if serving.Shutdown(ctx) != nil {
			err = serving.Close()
		}
	}
	s.uploads.discardAll()
	return errors.Join(err, unlock())
}

// ServeHTTP serves everything: it names the request's route, counts it, lets injected faults at it, and answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := s.log.begin(w, r)
	call := parseCall(r)
	counted.name(call.route)
	s.faults.wrap(call, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case call.route.registry():
			s.serveRegistry(w, r, call)
		case call.route == RouteStatus:
			s.serveStatus(w)
		case call.route == RouteTokenReview:
			s.serveTokenReview(w, r, call)
		default:
			s.serveAPI(w, r, call)
		}
	})).ServeHTTP(counted, r)
	request := counted.end()
	s.options.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("route", string(request.Route)),
		slog.String("method", request.Method), slog.String("path", request.Path), slog.Int("status", request.Status),
		slog.Int64("in", request.In), slog.Int64("out", request.Out), slog.Duration("took", request.Took))
}
