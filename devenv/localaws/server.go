// Package localaws is an embedded fake of the parts of AWS that the pipeline uses: the ECR, STS, EKS and KMS APIs and those that read
// secrets, which SDKs find by the usual endpoint variables, an OCI registry with ECR's rules, and the webhook that authenticates the tokens of an EKS
// cluster. It behaves like AWS in all that a caller can see (protocols, signatures, tokens, immutable tags, error bodies) and
// holds everything in memory or in one directory.
//
// One handler serves everything on one address: the registry under /v2/, the APIs at / and /clusters. A call that AWS has and
// this package lacks is refused (UnknownOperationException, InvalidAction). Faults can be injected per route, and every request
// is counted.
package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/ecr"
	"github.com/onedigest/onedigest/devenv/localaws/internal/eks"
	"github.com/onedigest/onedigest/devenv/localaws/internal/identity"
	"github.com/onedigest/onedigest/devenv/localaws/internal/kms"
	"github.com/onedigest/onedigest/devenv/localaws/internal/registry"
	"github.com/onedigest/onedigest/devenv/localaws/internal/secrets"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sts"

	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// The defaults of Options. The credentials are not secret: they are valid for this server only, and its user decides on which
// address it listens.
const (
	DefaultAccount         = "000000000000"
	DefaultRegion          = "us-east-1"
	DefaultAccessKeyID     = "AKIALOCALAWSEXAMPLE0"  // #nosec G101 -- well known
	DefaultSecretAccessKey = "localaws/not/a/secret" // #nosec G101 -- well known
)

// Options say which account the server fakes and where it stores its state. The zero value is a server in memory.
type Options struct {
	// Dir holds repositories, manifests, blobs and the key that signs registry tokens, for the next server on it. It is created
	// if absent, and only one server at a time can use it. Empty is a server in memory.
	Dir string

	Account string // twelve digits
	Region  string

	// AccessKeyID and SecretAccessKey are the one pair of credentials that the APIs accept.
	AccessKeyID     string
	SecretAccessKey string

	// Now is the clock for token lifetimes and creation times; nil is the machine's. Signatures are always checked against the
	// machine's clock, because their signer used it.
	Now func() time.Time

	// ClusterTokenLife is how long a token for an EKS cluster is valid after it was signed, at most AWS's 15 minutes, which is also
	// the default. A short one shows what a client does with a token that expires early.
	ClusterTokenLife time.Duration

	// Log gets one record per request; nil logs nothing.
	Log *slog.Logger
}

// withDefaults replaces empty options by their defaults.
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
		o.ClusterTokenLife = sigv4.MaxPresignedSTS
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

// Server fakes one account in one region. It is safe for concurrent use. Make one with New.
type Server struct {
	options  Options
	store    *store.Store
	registry *registry.Registry
	ecr      *ecr.API
	eks      *eks.API
	kms      *kms.API
	sts      sts.API
	secrets  *secrets.API
	identity *identity.Issuer
	roles    *sts.Roles
	log      requestLog
	faults   faults
	quotas   quotas

	mu       sync.Mutex
	address  string
	http     *http.Server
	finished chan error
	idle     map[net.Conn]bool // connections without a request so far
}

// New makes a server, with what is in Options.Dir. It does not listen yet: call Start, or use it as an http.Handler. Close it to
// unlock the directory.
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	if !accountPattern.MatchString(options.Account) {
		return nil, fmt.Errorf("account %q is not twelve digits", options.Account)
	}
	if !regionPattern.MatchString(options.Region) {
		return nil, fmt.Errorf("region %q is not a region's name; an example is %s", options.Region, DefaultRegion)
	}
	if options.ClusterTokenLife < 0 || options.ClusterTokenLife > sigv4.MaxPresignedSTS {
		return nil, fmt.Errorf("a cluster token's life of %s is not between 0 and %s", options.ClusterTokenLife, sigv4.MaxPresignedSTS)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("making a token key: %w", err)
	}
	images, err := store.Open(options.Dir, options.Account, options.Now)
	if err != nil {
		return nil, err
	}
	if options.Dir != "" {
		if key, err = store.LoadKey(options.Dir, key); err != nil {
			return nil, errors.Join(err, images.Close())
		}
	}
	verifier := sigv4.Verifier{AccessKeyID: options.AccessKeyID, SecretAccessKey: options.SecretAccessKey, Region: options.Region, Sessions: new(sigv4.Sessions)}
	server := &Server{
		options: options, store: images,
		registry: registry.New(options.Account, images, key, options.Dir, options.Now),
		sts:      sts.API{Account: options.Account, Principal: options.principal(), Verifier: verifier},
	}
	if server.identity, err = identity.New(func() string { return server.URL() + identity.Path }, options.Now); err != nil {
		return nil, errors.Join(err, images.Close())
	}
	server.roles = &sts.Roles{Issuer: server.identity, Sessions: verifier.Sessions, Now: options.Now}
	server.sts.Roles = server.roles
	server.ecr = ecr.New(options.Account, options.Region, verifier, images, server.registry.IssueToken)
	server.secrets = secrets.New(options.Account, options.Region, verifier)
	server.eks = eks.New(eks.Options{
		Account: options.Account, Region: options.Region, Principal: options.principal(), Verifier: verifier,
		TokenLife: options.ClusterTokenLife, Now: options.Now, URL: server.URL,
	})
	if server.kms, err = kms.New(options.Account, options.Region, options.principal(), verifier, options.Dir, options.Now); err != nil {
		return nil, errors.Join(err, images.Close())
	}
	return server, nil
}

func (o Options) principal() string { return "arn:aws:iam::" + o.Account + ":user/localaws" }

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
	// There is no read or write timeout, because a large layer may take long.
	serving := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		ConnState:         s.trackIdle,
	}
	finished := make(chan error, 1)
	s.http, s.finished, s.idle, s.address = serving, finished, map[net.Conn]bool{}, listener.Addr().String()
	go func() { finished <- serving.Serve(listener) }()
	return nil
}

// trackIdle records the connections that a client opened without sending a request: Shutdown would wait five seconds for one.
func (s *Server) trackIdle(connection net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.idle[connection] = true
		return
	}
	delete(s.idle, connection)
}

// PutSecret sets the current version of a secret of Secrets Manager. A server forgets its secrets when it ends.
func (s *Server) PutSecret(name, value string) { s.secrets.PutSecret(name, value) }

// PutRole adds or replaces a role that jobs may assume with their identity tokens. A server forgets its roles when it ends.
func (s *Server) PutRole(role Role) { s.roles.Put(role) }

// SetJob sets the job whose identity tokens the server issues from now on.
func (s *Server) SetJob(job Job) { s.identity.SetJob(job) }

// IdentityTokens returns how many identity tokens the server has issued.
func (s *Server) IdentityTokens() int { return s.identity.Issued() }

// JobEnv returns the variables, as KEY=value, with which a job asks for identity tokens. Source: GitHub Docs, "OpenID Connect reference".
func (s *Server) JobEnv() []string {
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + s.URL() + identity.Path + "?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + s.identity.RequestToken}
}

// PutParameter sets a SecureString of the parameter store. A server forgets its parameters when it ends.
func (s *Server) PutParameter(name, value string) { s.secrets.PutParameter(name, value) }

// Wait waits until the context ends, which is no error, or until serving fails. It does not close the server.
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

// Address returns host:port of the listener, or "" before Start.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// URL returns the endpoint for AWS_ENDPOINT_URL_ECR, _EKS, _KMS and _STS, or "" before Start.
func (s *Server) URL() string {
	if address := s.Address(); address != "" {
		return "http://" + address
	}
	return ""
}

// Env returns the environment, as KEY=value, with which an AWS SDK or the aws command uses this server and nothing else.
func (s *Server) Env() []string { return environment(s.URL(), s.options) }

// Environment is Env for a server of default options at a URL.
func Environment(url string) []string { return environment(url, Options{}.withDefaults()) }

// environment returns the variables that make AWS SDKs use a server at a URL.
func environment(url string, options Options) []string {
	return []string{
		"AWS_ENDPOINT_URL_ECR=" + url,
		"AWS_ENDPOINT_URL_EKS=" + url,
		"AWS_ENDPOINT_URL_KMS=" + url,
		"AWS_ENDPOINT_URL_STS=" + url,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + url,
		"AWS_ENDPOINT_URL_SSM=" + url,
		"AWS_ACCESS_KEY_ID=" + options.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + options.SecretAccessKey,
		"AWS_REGION=" + options.Region,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// closeGrace is how long Close waits for requests in progress.
const closeGrace = 2 * time.Second

// Close stops listening, waits up to two seconds for the requests in progress, aborts the rest, and unlocks the directory. It may be
// called again; the server must get no request afterwards.
func (s *Server) Close() error {
	s.mu.Lock()
	serving := s.http
	s.http = nil
	for connection := range s.idle {
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
	s.registry.Close()
	return errors.Join(err, s.store.Close())
}

// ServeHTTP finds the request's route, counts the request, applies injected faults, and answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := s.log.begin(w, r)
	call := parseCall(r)
	counted.setRoute(call.route)
	s.faults.wrap(call.route, s.quotas.wrap(call.route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case call.route.isRegistry():
			s.registry.Serve(w, r, call.target)
		case call.route == RouteStatus:
			s.serveStatus(w)
		case call.route == RouteIdentityToken:
			s.identity.Serve(w, r)
		case call.route == RouteTokenReview:
			s.eks.ServeTokenReview(w, r, call.cluster)
		case call.service == stsService:
			s.sts.Serve(w, r, call.operation)
		case call.service == kmsService:
			s.kms.Serve(w, r, call.operation)
		case call.service == secrets.ManagerService || call.service == secrets.ParameterSigner:
			s.secrets.Serve(w, r, call.service, call.operation)
		case call.service == eksService:
			s.eks.Serve(w, r, call.operation, call.cluster)
		default:
			s.ecr.Serve(w, r, call.service, call.operation)
		}
	}))).ServeHTTP(counted, r)
	request := counted.end()
	s.options.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("route", string(request.Route)),
		slog.String("method", request.Method), slog.String("path", request.Path), slog.Int("status", request.Status),
		slog.Int64("in", request.In), slog.Int64("out", request.Out), slog.Duration("took", request.Took))
}
