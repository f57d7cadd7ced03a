package sigstore

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
)

// fetchTimeout is that of each file of the repository.
const fetchTimeout = 30 * time.Second

// Repository is a TUF repository with the trusted root and the signing configuration of an instance of Sigstore.
type Repository struct {
	URL   string // "": that of the public instance
	Root  []byte // the repository's root metadata; nil: what sigstore-go has of the public instance
	Cache string // directory; "": nothing is kept
}

// options are those of sigstore-go's client. What is kept is verified again when it is read.
func (r Repository) options(ctx context.Context) *tuf.Options {
	options := tuf.DefaultOptions().WithContext(ctx).WithCacheValidity(1)
	client := fetcher.NewDefaultFetcher()
	client.SetHTTPClient(&http.Client{Timeout: fetchTimeout})
	options.WithFetcher(client)
	if r.URL != "" {
		options.WithRepositoryBaseURL(r.URL).WithRoot(r.Root)
	}
	if r.Cache == "" {
		return options.WithDisableLocalCache()
	}
	return options.WithCachePath(r.Cache)
}

// Trust reads the trusted root.
func (r Repository) Trust(ctx context.Context) (*Trust, error) {
	read, err := root.FetchTrustedRootWithOptions(r.options(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading the trusted root of Sigstore: %w", err)
	}
	return newTrust(read)
}

// Instance reads the trusted root, and which services sign.
func (r Repository) Instance(ctx context.Context) (*Trust, *Services, error) {
	client, err := tuf.New(r.options(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the TUF repository of Sigstore: %w", err)
	}
	trusted, err := root.GetTrustedRoot(client)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the trusted root of Sigstore: %w", err)
	}
	trust, err := newTrust(trusted)
	if err != nil {
		return nil, nil, err
	}
	config, err := root.GetSigningConfig(client)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the signing configuration of Sigstore: %w", err)
	}
	services, err := newServices(config, time.Now())
	return trust, services, err
}
