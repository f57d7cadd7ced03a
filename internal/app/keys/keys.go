// Package keys finds who signs evidence and verifies it: keys in files, in the environment and in AWS KMS, and identities of keyless signing.
package keys

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/roles"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/kms"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// passwordVariable holds the password of an encrypted private key, as for cosign.
const passwordVariable = "COSIGN_PASSWORD" // #nosec G101 -- a variable's name

// Signer returns the signer of a key, or of the job's identity; nil if no key is named. An error about a private key does not quote it.
func Signer(ctx context.Context, run *app.RunContext, name string, ref setting.KeyRef) (signed.Signer, error) {
	switch ref.Source {
	case "":
		return nil, nil
	case setting.KeyKMS:
		key, err := kmsKey(ctx, run, ref)
		if err != nil {
			return nil, err
		}
		return signed.WithKey(key), nil
	case setting.KeyKeyless:
		return keylessSigner(ctx, run, name, ref)
	}
	content, err := read(run, name, ref)
	if err != nil {
		return nil, err
	}
	password := run.Process.Getenv(passwordVariable)
	run.Secrets.Add(password, string(content))
	signer, err := signed.ParseSigner(content, password)
	if err != nil {
		return nil, release.BadSetting(name, fmt.Sprintf("%q holds no private key that can sign evidence: %v", ref, err),
			"give an ECDSA P-256 key in PEM, as cosign generate-key-pair writes it, and the password of an encrypted one as "+passwordVariable)
	}
	return signer, nil
}

// Trusted returns the public keys that are named. All of them must be readable.
func Trusted(ctx context.Context, run *app.RunContext, name string, refs []setting.KeyRef) (trusted []signed.Key, err error) {
	for _, ref := range refs {
		if ref.Source == setting.KeyKMS {
			key, err := kmsKey(ctx, run, ref)
			if err != nil {
				return nil, err
			}
			if ref.IsAlias() {
				run.Reporter.Infof("%s is the alias of key %s (ID %s); give the key's ARN if the alias may change", ref, key.private.ARN, key.public.ID)
			}
			trusted = append(trusted, key.public)
			continue
		}
		content, err := read(run, name, ref)
		if err != nil {
			return nil, err
		}
		keys, err := signed.ParseKeys(content)
		if err != nil {
			return nil, release.BadSetting(name, fmt.Sprintf("%q holds no public key: %v", ref, err), "give an ECDSA P-256 key in PEM, as cosign public-key prints it")
		}
		trusted = append(trusted, keys...)
	}
	return trusted, nil
}

// read returns the content of a file of the work tree or of a variable.
func read(run *app.RunContext, name string, ref setting.KeyRef) ([]byte, error) {
	if ref.Source == setting.KeyFile {
		return run.Workspace().Read(name, ref.Name, "name a file of the work tree, env://NAME or awskms:///KEY")
	}
	content := run.Process.Getenv(ref.Name)
	if content == "" {
		return nil, release.BadSetting(name, fmt.Sprintf("the environment variable %s is empty", ref.Name), "set it to the key")
	}
	return []byte(content), nil
}

// kmsSigner signs with a key of AWS KMS.
type kmsSigner struct {
	private *kms.Key
	public  signed.Key
}

// Sign signs the SHA-256 digest of a message.
func (s kmsSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.private.Sign(ctx, message)
}

// Key returns the public key.
func (s kmsSigner) Key() signed.Key { return s.public }

// kmsKey returns a signer for a key of AWS KMS, whose public key it reads.
func kmsKey(ctx context.Context, run *app.RunContext, ref setting.KeyRef) (kmsSigner, error) {
	role, err := roles.Credentials(ctx, run)
	if err != nil {
		return kmsSigner{}, err
	}
	client, err := kms.New(ctx, kms.Options{Environ: run.Process.Getenv, Credentials: role, Secrets: run.Secrets, WorkTree: run.WorkTree()})
	if err != nil {
		return kmsSigner{}, err
	}
	key, err := client.Key(ctx, ref.Name)
	if err != nil {
		return kmsSigner{}, err
	}
	public, err := signed.NewKey(key.Public)
	if err != nil {
		return kmsSigner{}, release.NewFault("AWS", "", err, "reading the public key of "+ref.String())
	}
	return kmsSigner{private: key, public: public}, nil
}
