// Package sigstoretest is a small instance of Sigstore on the loopback interface, for tests: a certificate authority that speaks Fulcio's API, a
// transparency log that speaks Rekor's, a certificate log and a timestamp authority. Certificates, log entries and timestamps are real, and
// sigstore-go verifies them by the trusted root of the instance.
package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// Instance is an instance of Sigstore.
type Instance struct {
	URL string
	// LogTime is when the log says that it got an entry; nil: now.
	LogTime func() time.Time

	t        testing.TB
	root     *x509.Certificate
	fulcio   authority
	stamper  authority // issued by tsa
	tsa      *x509.Certificate
	rekor    *ecdsa.PrivateKey
	ctlog    *ecdsa.PrivateKey
	mu       sync.Mutex
	issued   map[string]Claims // by token
	Requests []string          // paths, in their order
}

// authority is a certificate with its key.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Claims are those of an identity token of GitHub Actions. Source: GitHub Docs, "OpenID Connect reference".
type Claims struct {
	Issuer         string `json:"iss"`
	Audience       string `json:"aud"`
	Subject        string `json:"sub"`
	Repository     string `json:"repository"`
	Ref            string `json:"ref"`
	SHA            string `json:"sha"`
	JobWorkflowRef string `json:"job_workflow_ref"` // OWNER/REPO/PATH@REF
	Expires        int64  `json:"exp"`
}

// Job returns the claims of a job of a workflow of octo/shop on main.
func Job(issuer, workflow string) Claims {
	return Claims{Issuer: issuer, Audience: "sigstore", Subject: "repo:octo/shop:ref:refs/heads/main", Repository: "octo/shop", Ref: "refs/heads/main",
		SHA: "1111111111111111111111111111111111111111", JobWorkflowRef: "octo/shop/.github/workflows/" + workflow + "@refs/heads/main", Expires: time.Now().Add(5 * time.Minute).Unix()}
}

// Start starts an instance that ends with the test.
func Start(t testing.TB) *Instance {
	t.Helper()
	i := &Instance{t: t, rekor: newKey(t), ctlog: newKey(t), issued: map[string]Claims{}}
	certificate, key, err := ca.GenerateRootCa()
	must(t, err)
	i.root = certificate
	i.fulcio.certificate, i.fulcio.key, err = ca.GenerateFulcioIntermediate(certificate, key)
	must(t, err)
	var tsaKey *ecdsa.PrivateKey
	i.tsa, tsaKey, err = ca.GenerateTSAIntermediate(certificate, key)
	must(t, err)
	i.stamper.key = newKey(t)
	i.stamper.certificate, err = ca.GenerateTSALeafCert(time.Now().Add(-time.Minute), i.stamper.key, i.tsa, tsaKey)
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", i.signingCert)
	mux.HandleFunc("POST /api/v1/log/entries", i.addEntry)
	mux.HandleFunc("POST /api/v1/timestamp", i.timestamp)
	mux.HandleFunc("GET /runner/token", i.runnerToken)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.Requests = append(i.Requests, r.URL.Path)
		i.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// Token returns an identity token with claims, which the instance accepts because it issued it.
func (i *Instance) Token(claims Claims) string {
	payload, err := json.Marshal(claims)
	must(i.t, err)
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "." + encode([]byte(rand.Text()))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issued[token] = claims
	return token
}

// JobEnv returns the variables, as NAME=value, with which a job asks for identity tokens. Source: GitHub Docs, "OpenID Connect reference".
func (i *Instance) JobEnv(claims Claims) []string {
	encoded, err := json.Marshal(claims)
	must(i.t, err)
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + i.URL + "/runner/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + base64.RawURLEncoding.EncodeToString(encoded)}
}

// runnerToken issues a token for the audience that the job asks for.
func (i *Instance) runnerToken(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "bearer ")
	encoded, err := base64.RawURLEncoding.DecodeString(bearer)
	var claims Claims
	if err != nil || json.Unmarshal(encoded, &claims) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims.Audience = r.URL.Query().Get("audience")
	_ = json.NewEncoder(w).Encode(map[string]string{"value": i.Token(claims)})
}

// TrustedRoot returns the trusted root of the instance: with its transparency log, or as that of an instance that has none.
func (i *Instance) TrustedRoot(withLogs bool) []byte {
	start, end := time.Now().Add(-4*time.Hour), time.Now().Add(time.Hour)
	logs, ctlogs := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	if withLogs {
		for key, into := range map[*ecdsa.PrivateKey]map[string]*root.TransparencyLog{i.rekor: logs, i.ctlog: ctlogs} {
			id := logID(i.t, key)
			into[hex.EncodeToString(id)] = &root.TransparencyLog{BaseURL: i.URL, ID: id, ValidityPeriodStart: start, ValidityPeriodEnd: end, HashFunc: crypto.SHA256, PublicKey: key.Public(), SignatureHashFunc: crypto.SHA256}
		}
	}
	made, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: i.root, Intermediates: []*x509.Certificate{i.fulcio.certificate}, ValidityPeriodStart: start, ValidityPeriodEnd: end, URI: i.URL}},
		ctlogs,
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{Root: i.root, Intermediates: []*x509.Certificate{i.tsa}, Leaf: i.stamper.certificate, ValidityPeriodStart: start, ValidityPeriodEnd: end, URI: i.URL}},
		logs)
	must(i.t, err)
	encoded, err := made.MarshalJSON()
	must(i.t, err)
	return encoded
}

// SigningConfig returns the signing configuration of the instance, with or without its log and its timestamp authority.
func (i *Instance) SigningConfig(withLog, withTimestamps bool) []byte {
	service := func(path string) root.Service {
		return root.Service{URL: i.URL + path, MajorAPIVersion: 1, ValidityPeriodStart: time.Now().Add(-time.Hour), Operator: "test"}
	}
	anyOne := root.ServiceConfiguration{Selector: prototrustroot.ServiceSelector_ANY}
	var logs, stampers []root.Service
	if withLog {
		logs = append(logs, service(""))
	}
	if withTimestamps {
		stampers = append(stampers, service("/api/v1/timestamp"))
	}
	made, err := root.NewSigningConfig(root.SigningConfigMediaType02, []root.Service{service("")}, nil, logs, anyOne, stampers, anyOne)
	must(i.t, err)
	encoded, err := made.MarshalJSON()
	must(i.t, err)
	return encoded
}

// Write writes the trusted root and the signing configuration into a directory, which keyless://DIR names.
func (i *Instance) Write(dir string) {
	must(i.t, os.MkdirAll(dir, 0o750))
	must(i.t, os.WriteFile(filepath.Join(dir, "trusted_root.json"), i.TrustedRoot(true), 0o600))
	must(i.t, os.WriteFile(filepath.Join(dir, "signing_config.json"), i.SigningConfig(true, true), 0o600))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// logID is the digest of a log's public key. Source: RFC 6962, section 3.2.
func logID(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	encoded, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	sum := sha256.Sum256(encoded)
	return sum[:]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
