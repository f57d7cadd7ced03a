package setting

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// KeyRef names a key that signs evidence or verifies it.
type KeyRef struct {
	Source KeySource
	Name   string // a path, a variable's name, or AWS KMS's key ID, alias or ARN; of keyless, a directory or ""
}

// KeySource says where a key is.
type KeySource string

// The places of a key.
const (
	KeyFile KeySource = "file"
	KeyEnv  KeySource = "env"
	KeyKMS  KeySource = "awskms"
	// KeyKeyless is no key: a certificate of Sigstore for the identity of the job.
	KeyKeyless KeySource = "keyless"
)

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// kmsKey is a key ID, an alias, or the ARN of one. Source: AWS KMS API Reference, Sign (KeyId).
	kmsKey = regexp.MustCompile(`^(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?((key/)?[0-9A-Za-z-]{1,64}|alias/[0-9A-Za-z/_-]{1,250})$`)
)

// ParseKeyRef accepts what cosign's --key accepts for these places: a file, env://NAME, awskms:///KEY.
func ParseKeyRef(given string) (KeyRef, error) {
	scheme, name, found := strings.Cut(given, "://")
	switch {
	case given == string(KeyKeyless) || scheme == string(KeyKeyless) && found:
		return KeyRef{}, fmt.Errorf("%q is not a public key; a policy names whose certificates count (docs/policy.md)", given)
	case !found:
		return KeyRef{KeyFile, given}, nil
	case scheme == string(KeyEnv) && variableName.MatchString(name):
		return KeyRef{KeyEnv, name}, nil
	case scheme == string(KeyEnv):
		return KeyRef{}, fmt.Errorf("%q names no environment variable; write env://NAME", given)
	case scheme == string(KeyKMS):
		key, noHost := strings.CutPrefix(name, "/")
		if !noHost || !kmsKey.MatchString(key) || strings.HasPrefix(key, "key/") {
			return KeyRef{}, fmt.Errorf("%q is not a key of AWS KMS; write awskms:/// and a key ID, alias/NAME or an ARN", given)
		}
		return KeyRef{KeyKMS, key}, nil
	}
	return KeyRef{}, fmt.Errorf("%q is not one of a file, env://NAME and awskms:///KEY", given)
}

// ParseSignerRef accepts what ParseKeyRef accepts, "keyless", and keyless://DIR for an instance of Sigstore whose files are in a directory.
func ParseSignerRef(given string) (KeyRef, error) {
	if given == string(KeyKeyless) {
		return KeyRef{Source: KeyKeyless}, nil
	}
	if dir, found := strings.CutPrefix(given, string(KeyKeyless)+"://"); found {
		if dir == "" {
			return KeyRef{}, fmt.Errorf("%q names no directory; write keyless://DIR, or keyless for the public instance of Sigstore", given)
		}
		return KeyRef{KeyKeyless, dir}, nil
	}
	return ParseKeyRef(given)
}

// DeclareSignKey adds the setting of the key that signs evidence.
func DeclareSignKey(set *Set, target *KeyRef) {
	Var(set, target, Setting{Name: "sign-key", Value: "FILE|env://NAME|awskms:///KEY|keyless",
		Help: "Private key (ECDSA P-256) that signs what is recorded as evidence, so that --verify-key and cosign can verify it; keyless signs with a certificate of Sigstore for the job's identity, which a policy names"}, ParseSignerRef)
}

// Values of legacy-signatures.
const (
	LegacyWarn   = "warn"
	LegacyRefuse = "refuse"
)

// DeclareLegacySignatures adds the setting of what is done before the first bundle is attached to an image that cosign 2 signed.
func DeclareLegacySignatures(set *Set, target *string) {
	Var(set, target, Setting{Name: "legacy-signatures", Default: LegacyWarn, Value: "warn|refuse",
		Help: "What sign-key does for an image with a signature of cosign 2, which cosign 3 ignores beside signed evidence unless it gets --new-bundle-format=false: warn and sign, or refuse"},
		OneOf(LegacyWarn, LegacyRefuse))
}

// DeclareVerifyKeys adds the setting of the keys that evidence must be signed with.
func DeclareVerifyKeys(set *Set, target *[]KeyRef) {
	List(set, target, Setting{Name: "verify-key", Commas: true, Value: "FILE|env://NAME|awskms:///KEY",
		Help: "Public key, one of which must have signed the evidence; without this setting, evidence needs no signature"}, ParseKeyRef)
}

// IsZero reports whether no key is named.
func (k KeyRef) IsZero() bool { return k == KeyRef{} }

// IsAlias reports whether the name is an alias of KMS, which may name another key tomorrow.
func (k KeyRef) IsAlias() bool { return k.Source == KeyKMS && strings.Contains(k.Name, "alias/") }

// String writes it as ParseKeyRef reads it.
func (k KeyRef) String() string {
	switch k.Source {
	case KeyEnv:
		return "env://" + k.Name
	case KeyKMS:
		return "awskms:///" + k.Name
	case KeyKeyless:
		if k.Name == "" {
			return string(KeyKeyless)
		}
		return string(KeyKeyless) + "://" + k.Name
	}
	return k.Name
}

// DeclareMaxAge adds the setting of the evidence's maximum age.
func DeclareMaxAge(set *Set, target *time.Duration) {
	Var(set, target, Setting{Name: "max-age", Default: "720h", Value: "DURATION",
		Help: "Maximum age of the evidence; at least 168h, because smoke records a repeated pass only after that time"}, maxAge)
}

// DeclarePolicy adds the setting of the file of rules.
func DeclarePolicy(set *Set, target *string) {
	Var(set, target, Setting{Name: "policy", Value: "FILE",
		Help: "File of the work tree that has the rules of promotion (docs/policy.md); default: the nearest .onedigest.yaml, from the working directory up to the root of the work tree"}, Text)
}

// DeclareOverride adds the setting with the reason for overriding the rules.
func DeclareOverride(set *Set, target *string) {
	Var(set, target, Setting{Name: "override-reason", Value: "TEXT",
		Help: "Why the image is to enter the environment although a requirement of the policy is not met; only for actors that the policy names, with --sign-key, and never for a rejected image"}, ParseReason)
}

const minReason = 10 // characters

// ParseReason accepts a reason that says something.
func ParseReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len([]rune(text)) < minReason || len(text) > 1000 {
		return "", fmt.Errorf("the reason has %d characters, not %d to 1000: say what happened and who agreed", len([]rune(text)), minReason)
	}
	return Text(text)
}

// maxAge accepts a duration that smoke's records can keep.
func maxAge(given string) (time.Duration, error) {
	duration, err := Duration(given)
	if err == nil && duration < release.RecordFreshFor {
		err = fmt.Errorf("%s is less than %s (%gh), in which smoke does not record the same verdict again", text.Duration(duration), text.Duration(release.RecordFreshFor), release.RecordFreshFor.Hours())
	}
	return duration, err
}
