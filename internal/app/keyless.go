package app

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Keyless signs with certificates of Sigstore and verifies them. The program onedigest has it; the programs of single verbs do not, because its libraries
// would double the size of promote.
type Keyless interface {
	// Signer gets a certificate for the identity of this job. dir is a directory of the work tree with trusted_root.json and signing_config.json; "": the public
	// instance. A job that has no identity token is a *release.InputError.
	Signer(ctx context.Context, run *RunContext, setting, dir string) (KeylessSigner, error)
	// Trust reads a trusted root, which a setting names; "": that of the public instance.
	Trust(ctx context.Context, run *RunContext, setting, file string) (KeylessTrust, error)
}

// KeylessSigner signs for one identity.
type KeylessSigner interface {
	Identity() release.Identity
	// SignStatement returns a bundle with a statement, its signature and its certificate.
	SignStatement(ctx context.Context, statement []byte) (bundle []byte, err error)
	// Trust verifies the signer's bundles.
	Trust() KeylessTrust
}

// KeylessTrust verifies bundles with certificates.
type KeylessTrust interface {
	// Verify returns who signed a bundle, the bytes that were signed, and when, as a log or a timestamp authority says.
	Verify(bundle []byte) (by release.Identity, payload []byte, at time.Time, err error)
}
