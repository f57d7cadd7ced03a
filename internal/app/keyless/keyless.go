// Package keyless wires keyless signing: the identity token of the job and Sigstore.
package keyless

import (
	"context"
	"path/filepath"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/idtoken"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/sigstore"
)

// Files of an instance of Sigstore in a directory, named like the targets of its TUF repository.
const (
	trustedRoot   = "trusted_root.json"
	signingConfig = "signing_config.json"
)

// tokenVariable holds an identity token where no runner issues one, as for cosign.
const tokenVariable = "SIGSTORE_ID_TOKEN" // #nosec G101 -- a variable's name

// Sigstore is the keyless signing of a process.
type Sigstore struct{}

// Signer gets a certificate for the identity of the job.
func (Sigstore) Signer(ctx context.Context, run *app.RunContext, setting, dir string) (app.KeylessSigner, error) {
	token, err := tokenOf(run, setting)
	if err != nil {
		return nil, err
	}
	trust, services, err := instance(ctx, run, setting, dir)
	if err != nil {
		return nil, err
	}
	made, err := sigstore.NewSigner(ctx, services, trust, token, run.Process.Now)
	if err != nil {
		return nil, fault(err)
	}
	return signer{made, trust}, nil
}

// tokenOf returns how the job gets an identity token: from its runner, or else from a variable.
func tokenOf(run *app.RunContext, setting string) (func(context.Context) (string, error), error) {
	if idtoken.Allowed(run.Process.Getenv) {
		return func(ctx context.Context) (string, error) {
			token, err := idtoken.Request(ctx, run.Process.Getenv, sigstore.Audience)
			if err == nil {
				run.Mask(token)
			}
			return token, err
		}, nil
	}
	token := run.Process.Getenv(tokenVariable)
	if token == "" {
		return nil, release.BadSetting(setting, "is keyless, and this job has no identity token",
			"add `id-token: write` to the job's permissions (a pull request from a fork never has it), or give a token for the audience sigstore as "+tokenVariable)
	}
	run.Mask(token)
	return func(context.Context) (string, error) { return token, nil }, nil
}

// instance returns whom an instance of Sigstore trusts, and its services.
func instance(ctx context.Context, run *app.RunContext, setting, dir string) (*sigstore.Trust, *sigstore.Services, error) {
	if dir == "" {
		trust, services, err := publicInstance(run).Instance(ctx)
		return trust, services, fault(err)
	}
	trust, err := readTrust(run, setting, filepath.Join(dir, trustedRoot))
	if err != nil {
		return nil, nil, err
	}
	content, err := run.Workspace().Read(setting, filepath.Join(dir, signingConfig), "name a directory with "+trustedRoot+" and "+signingConfig)
	if err != nil {
		return nil, nil, err
	}
	services, err := sigstore.ParseServices(content, run.Process.Now())
	if err != nil {
		return nil, nil, release.BadSetting(setting, filepath.Join(dir, signingConfig)+": "+err.Error(), "give the signing configuration of the instance")
	}
	return trust, services, nil
}

// publicInstance is the public instance of Sigstore. What it has is kept outside of the work tree, if there is a place, and verified again when it is read.
func publicInstance(run *app.RunContext) sigstore.Repository {
	cache := run.Process.Getenv("XDG_CACHE_HOME")
	if home := run.Process.Getenv("HOME"); cache == "" && home != "" {
		cache = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(cache) {
		return sigstore.Repository{}
	}
	if cache = filepath.Join(cache, "onedigest", "sigstore"); run.WorkTree().Contains(cache) {
		return sigstore.Repository{}
	}
	return sigstore.Repository{Cache: cache}
}

func readTrust(run *app.RunContext, setting, file string) (*sigstore.Trust, error) {
	content, err := run.Workspace().Read(setting, file, "name a trusted root of Sigstore")
	if err != nil {
		return nil, err
	}
	trust, err := sigstore.ParseTrust(content)
	if err != nil {
		return nil, release.BadSetting(setting, file+": "+err.Error(), "give a trusted root, as cosign trusted-root create or gh attestation trusted-root writes it")
	}
	return trust, nil
}

// Trust reads a trusted root.
func (Sigstore) Trust(ctx context.Context, run *app.RunContext, setting, file string) (app.KeylessTrust, error) {
	if file == "" {
		read, err := publicInstance(run).Trust(ctx)
		if err != nil {
			return nil, fault(err)
		}
		return trust{read}, nil
	}
	read, err := readTrust(run, setting, file)
	if err != nil {
		return nil, err
	}
	return trust{read}, nil
}

func fault(err error) error {
	if err == nil {
		return nil
	}
	return &release.Fault{Side: "Sigstore", Err: err}
}

type trust struct{ *sigstore.Trust }

// Verify returns who signed a bundle, and when.
func (t trust) Verify(bundle []byte) (release.Identity, []byte, time.Time, error) {
	verified, err := t.Trust.Verify(bundle)
	return verified.Identity, verified.Payload, verified.At, err
}

type signer struct {
	*sigstore.Signer
	trust *sigstore.Trust
}

// SignStatement signs.
func (s signer) SignStatement(ctx context.Context, statement []byte) ([]byte, error) {
	bundle, err := s.Sign(ctx, statement)
	return bundle, fault(err)
}

// Trust verifies what the signer signed.
func (s signer) Trust() app.KeylessTrust { return trust{s.trust} }
