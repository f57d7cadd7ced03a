// Package kms is the fake AWS KMS: asymmetric keys that sign with ECDSA and the curve P-256, and their aliases.
package kms

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// Target is the prefix of X-Amz-Target in the calls of KMS.
const Target = "TrentService"

// File is the name of the file with the keys, in a server's directory.
const File = "kms.json"

const (
	// maxBody has room for a message of 4096 bytes as base64.
	maxBody    = 64 << 10
	maxMessage = 4096 // bytes. Source: AWS KMS API Reference, Sign (Message)

	keySpec   = "ECC_NIST_P256"
	keyUsage  = "SIGN_VERIFY"
	algorithm = "ECDSA_SHA_256"
)

// API serves KMS for one account and region. It is safe for concurrent use. Make one with New.
type API struct {
	account, region string
	principal       string // ARN of who calls
	verifier        sigv4.Verifier
	now             func() time.Time
	file            string // "": in memory

	mu   sync.Mutex
	keys state
}

// state is what a server remembers.
type state struct {
	Keys    map[string]key    `json:"keys"`    // by ID
	Aliases map[string]string `json:"aliases"` // alias/NAME to ID
}

// key is an asymmetric key.
type key struct {
	Private []byte    `json:"private"` // PKCS #8
	Created time.Time `json:"created"`
	Enabled bool      `json:"enabled"`
	Policy  string    `json:"policy,omitempty"` // "": the default one
}

// New returns an API whose keys are kept in a directory, or in memory if that is "".
func New(account, region, principal string, verifier sigv4.Verifier, dir string, now func() time.Time) (*API, error) {
	a := &API{account: account, region: region, principal: principal, verifier: verifier, now: now, keys: state{Keys: map[string]key{}, Aliases: map[string]string{}}}
	if dir == "" {
		return a, nil
	}
	a.file = filepath.Join(dir, File)
	content, err := os.ReadFile(a.file)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &a.keys)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of KMS: %w", err)
	}
	return a, nil
}

// operations are the calls by name.
var operations = map[string]awsapi.Operation[*API]{
	"CreateKey":    awsapi.AsJSON((*API).createKey),
	"CreateAlias":  awsapi.AsJSON((*API).createAlias),
	"UpdateAlias":  awsapi.AsJSON((*API).updateAlias),
	"DisableKey":   awsapi.AsJSON((*API).disableKey),
	"GetPublicKey": awsapi.AsJSON((*API).getPublicKey),
	"Sign":         awsapi.AsJSON((*API).sign),
}

// Serve answers a call of AWS JSON 1.1.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, name string) {
	awsapi.ServeJSON(w, r, a, name, operations, maxBody, func(body []byte) *awsapi.Error {
		return a.verifier.Verify(r, body, "kms", time.Now())
	})
}

type keyMetadata struct {
	AWSAccountID string   `json:"AWSAccountId"`
	KeyID        string   `json:"KeyId"`
	Arn          string   `json:"Arn"`
	CreationDate float64  `json:"CreationDate"`
	Enabled      bool     `json:"Enabled"`
	KeySpec      string   `json:"KeySpec"`
	KeyUsage     string   `json:"KeyUsage"`
	KeyState     string   `json:"KeyState"`
	KeyManager   string   `json:"KeyManager"`
	Origin       string   `json:"Origin"`
	Algorithms   []string `json:"SigningAlgorithms"`
}

// createKey makes a key. Only the one kind is supported, and every other is refused.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
func (a *API) createKey(_ string, in struct{ KeySpec, KeyUsage, Policy string }) (any, error) {
	if _, err := parsePolicy(in.Policy); err != nil {
		return nil, awsapi.BadRequest("MalformedPolicyDocumentException", "The new key policy is not valid: %v", err)
	}
	if in.KeySpec != keySpec || in.KeyUsage != keyUsage {
		return nil, awsapi.BadRequest("UnsupportedOperationException", "This server makes keys of %s for %s only.", keySpec, keyUsage)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id, made, err := a.generate()
	if err != nil {
		return nil, err
	}
	made.Policy = in.Policy
	a.keys.Keys[id] = made
	return map[string]any{"KeyMetadata": keyMetadata{AWSAccountID: a.account, KeyID: id, Arn: a.arn(id), CreationDate: awsapi.Epoch(made.Created), Enabled: true,
		KeySpec: keySpec, KeyUsage: keyUsage, KeyState: "Enabled", KeyManager: "CUSTOMER", Origin: "AWS_KMS", Algorithms: []string{algorithm}}}, a.save()
}

// generate adds a new key. The caller holds the lock.
func (a *API) generate() (string, key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", key{}, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", key{}, err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", key{}, err
	}
	id := fmt.Sprintf("%x-%x-%x-%x-%x", random[:4], random[4:6], random[6:8], random[8:10], random[10:])
	made := key{Private: encoded, Created: a.now().UTC(), Enabled: true}
	a.keys.Keys[id] = made
	return id, made, nil
}

// Create makes a key with an alias, unless the alias names one already, and returns the key's ARN.
func (a *API) Create(alias string) (string, error) {
	if err := CheckAlias(alias); err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, found := a.keys.Aliases[alias]; found {
		return a.arn(id), nil
	}
	id, _, err := a.generate()
	if err != nil {
		return "", err
	}
	a.keys.Aliases[alias] = id
	return a.arn(id), a.save()
}

// CheckAlias refuses what is no alias that an account may create.
func CheckAlias(alias string) error {
	if !aliasName.MatchString(alias) || strings.HasPrefix(alias, "alias/aws/") {
		return fmt.Errorf("%q is not an alias", alias)
	}
	return nil
}

// aliasName matches an alias that an account may create.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html (AliasName)
var aliasName = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)

// createAlias names a key.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
func (a *API) createAlias(_ string, in struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}) (any, error) {
	if CheckAlias(in.AliasName) != nil {
		return nil, awsapi.BadRequest("InvalidAliasNameException", "The alias name %q is not valid.", in.AliasName)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.keys.Aliases[in.AliasName]; taken {
		return nil, awsapi.BadRequest("AlreadyExistsException", "An alias with the name %s already exists", in.AliasName)
	}
	id, _, err := a.find(in.TargetKeyID)
	if err != nil {
		return nil, err
	}
	a.keys.Aliases[in.AliasName] = id
	return struct{}{}, a.save()
}

// updateAlias makes an alias name another key.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html
func (a *API) updateAlias(_ string, in struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, exists := a.keys.Aliases[in.AliasName]; !exists {
		return nil, awsapi.BadRequest("NotFoundException", "Alias %s is not found.", in.AliasName)
	}
	id, _, err := a.find(in.TargetKeyID)
	if err != nil {
		return nil, err
	}
	a.keys.Aliases[in.AliasName] = id
	return struct{}{}, a.save()
}

// MoveAlias makes an alias name the key of another one.
func (a *API) MoveAlias(alias, to string) error {
	_, err := a.updateAlias("", struct {
		AliasName   string
		TargetKeyID string `json:"TargetKeyId"`
	}{alias, to})
	return err
}

// disableKey makes a key unusable.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKey.html
func (a *API) disableKey(_ string, in keyInput) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, found, err := a.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	found.Enabled = false
	a.keys.Keys[id] = found
	return struct{}{}, a.save()
}

type keyInput struct {
	KeyID string `json:"KeyId"`
}

// getPublicKey returns a key's public part.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html
func (a *API) getPublicKey(_ string, in keyInput) (any, error) {
	id, private, err := a.usable(in.KeyID, "kms:GetPublicKey")
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyId": a.arn(id), "PublicKey": public, "KeySpec": keySpec, "CustomerMasterKeySpec": keySpec, "KeyUsage": keyUsage,
		"SigningAlgorithms": []string{algorithm}}, nil
}

// sign signs a digest, or the digest of a message.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
func (a *API) sign(_ string, in struct {
	KeyID            string `json:"KeyId"`
	Message          []byte
	MessageType      string
	SigningAlgorithm string
}) (any, error) {
	id, private, err := a.usable(in.KeyID, "kms:Sign")
	if err != nil {
		return nil, err
	}
	digest := in.Message
	switch {
	case in.SigningAlgorithm != algorithm:
		return nil, awsapi.BadRequest("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", in.SigningAlgorithm, keySpec)
	case len(in.Message) == 0 || len(in.Message) > maxMessage:
		return nil, awsapi.BadRequest("ValidationException", "Value at 'message' failed to satisfy constraint: Member must have length between 1 and %d", maxMessage)
	case in.MessageType == "DIGEST" && len(in.Message) != sha256.Size:
		return nil, awsapi.BadRequest("ValidationException", "Digest is invalid length for algorithm %s.", algorithm)
	case in.MessageType == "" || in.MessageType == "RAW":
		sum := sha256.Sum256(in.Message)
		digest = sum[:]
	case in.MessageType != "DIGEST":
		return nil, awsapi.BadRequest("ValidationException", "Value at 'messageType' failed to satisfy constraint: Member must satisfy enum value set: [RAW, DIGEST]")
	}
	made, err := ecdsa.SignASN1(rand.Reader, private, digest)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyId": a.arn(id), "Signature": made, "SigningAlgorithm": algorithm}, nil
}

func (a *API) arn(id string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", a.region, a.account, id)
}

// usable returns an enabled key by its ID, ARN or alias, if its policy allows the action.
func (a *API) usable(name, action string) (string, *ecdsa.PrivateKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, found, err := a.find(name)
	if err != nil {
		return "", nil, err
	}
	if rules, err := parsePolicy(found.Policy); err != nil || !rules.allows(a.account, a.principal, action) {
		return "", nil, awsapi.BadRequest("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s because no resource-based policy allows the %s action",
			a.principal, action, a.arn(id), action)
	}
	if !found.Enabled {
		return "", nil, awsapi.BadRequest("DisabledException", "%s is disabled.", a.arn(id))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(found.Private)
	if err != nil {
		return "", nil, err
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return "", nil, fmt.Errorf("key %s is of another kind", id)
	}
	return id, private, nil
}

// find returns a key. The caller holds the lock.
// Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html (KeyId)
func (a *API) find(name string) (string, key, error) {
	prefix := fmt.Sprintf("arn:aws:kms:%s:%s:", a.region, a.account)
	short := strings.TrimPrefix(strings.TrimPrefix(name, prefix), "key/")
	id := short
	if strings.HasPrefix(short, "alias/") {
		id = a.keys.Aliases[short]
	}
	found, known := a.keys.Keys[id]
	if !known {
		if strings.HasPrefix(short, "alias/") {
			return "", key{}, awsapi.BadRequest("NotFoundException", "Alias %s%s is not found.", prefix, short)
		}
		return "", key{}, awsapi.BadRequest("NotFoundException", "Key '%s' does not exist", a.arn(id))
	}
	return id, found, nil
}

// save writes the state. The caller holds the lock.
func (a *API) save() error {
	if a.file == "" {
		return nil
	}
	content, err := json.Marshal(a.keys)
	if err != nil {
		return err
	}
	written := filepath.Join(filepath.Dir(a.file), ".writing-"+File)
	if err := os.WriteFile(written, content, 0o600); err != nil {
		return err
	}
	return os.Rename(written, a.file)
}
