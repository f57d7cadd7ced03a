package sigstoretest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // the type of the entries
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore/pkg/signature"
)

// fail answers with an error in the form of the services.
func fail(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": err.Error()})
}

// signingCert issues a certificate. Source: https://github.com/sigstore/fulcio, fulcio.proto, CreateSigningCertificate, and docs/how-certificate-issuing-works.md.
func (i *Instance) signingCert(w http.ResponseWriter, r *http.Request) {
	var request struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Algorithm, Content string }
			ProofOfPossession []byte
		}
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	i.mu.Lock()
	claims, known := i.issued[token]
	i.mu.Unlock()
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if !known || claims.Audience != "sigstore" || time.Now().Unix() >= claims.Expires {
		fail(w, http.StatusUnauthorized, errors.New("there was an error processing the identity token"))
		return
	}
	block, _ := pem.Decode([]byte(request.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		fail(w, http.StatusBadRequest, errors.New("the public key supplied in the request could not be parsed"))
		return
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, isECDSA := parsed.(*ecdsa.PublicKey)
	sum := sha256.Sum256([]byte(claims.Subject))
	if err != nil || !isECDSA || !ecdsa.VerifyASN1(public, sum[:], request.PublicKeyRequest.ProofOfPossession) {
		fail(w, http.StatusBadRequest, errors.New("the signature supplied in the request could not be verified"))
		return
	}
	leaf, err := i.issue(claims, public)
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	var chain []string
	for _, each := range [][]byte{leaf, i.fulcio.certificate.Raw, i.root.Raw} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: each})))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// extensions are those that Fulcio writes for a job of GitHub Actions. Source: https://github.com/sigstore/fulcio, docs/oid-info.md.
func extensions(claims Claims) ([]pkix.Extension, error) {
	const server = "https://github.com/"
	made := []pkix.Extension{{Id: certificate.OIDIssuer, Value: []byte(claims.Issuer)}} //nolint:staticcheck // Fulcio writes it beside its successor
	for _, each := range []struct {
		id    asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDIssuerV2, claims.Issuer},
		{certificate.OIDBuildSignerURI, server + claims.JobWorkflowRef},
		{certificate.OIDRunnerEnvironment, "github-hosted"},
		{certificate.OIDSourceRepositoryURI, server + claims.Repository},
		{certificate.OIDSourceRepositoryDigest, claims.SHA},
		{certificate.OIDSourceRepositoryRef, claims.Ref},
	} {
		value, err := asn1.MarshalWithParams(each.value, "utf8")
		if err != nil {
			return nil, err
		}
		made = append(made, pkix.Extension{Id: each.id, Value: value})
	}
	return made, nil
}

// sctList is the extension with the statements of certificate logs. Source: RFC 6962, section 3.3.
var sctList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// issue makes a certificate for ten minutes, with what the certificate log signed of it.
func (i *Instance) issue(claims Claims, public *ecdsa.PublicKey) ([]byte, error) {
	subject, err := url.Parse("https://github.com/" + claims.JobWorkflowRef)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, URIs: []*url.URL{subject}, NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	if template.ExtraExtensions, err = extensions(claims); err != nil {
		return nil, err
	}
	without, err := x509.CreateCertificate(rand.Reader, template, i.fulcio.certificate, public, i.fulcio.key)
	if err != nil {
		return nil, err
	}
	statement, err := i.logCertificate(without)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: sctList, Value: statement})
	return x509.CreateCertificate(rand.Reader, template, i.fulcio.certificate, public, i.fulcio.key)
}

// logCertificate returns the value of the extension for a certificate without it.
func (i *Instance) logCertificate(encoded []byte) ([]byte, error) {
	leaf, err := ctx509.ParseCertificate(encoded)
	if ctx509.IsFatal(err) {
		return nil, err
	}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: [32]byte(logID(i.t, i.ctlog))}, Timestamp: uint64(time.Now().UnixMilli())} //nolint:gosec // after 1970
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{TimestampedEntry: &ct.TimestampedEntry{EntryType: ct.PrecertLogEntryType,
		PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(i.fulcio.certificate.RawSubjectPublicKeyInfo), TBSCertificate: leaf.RawTBSCertificate}}}})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(input)
	sig, err := ecdsa.SignASN1(rand.Reader, i.ctlog, sum[:])
	if err != nil {
		return nil, err
	}
	sct.Signature = ct.DigitallySigned{Algorithm: cttls.SignatureAndHashAlgorithm{Hash: cttls.SHA256, Signature: cttls.ECDSA}, Signature: sig}
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return nil, err
	}
	content, err := cttls.Marshal(*list)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(content)
}

// addEntry adds an entry to the log, as the only one of a tree. Source: https://github.com/sigstore/rekor, openapi.yaml, createLogEntry.
func (i *Instance) addEntry(w http.ResponseWriter, r *http.Request) {
	added, err := i.entry(r.Context(), r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	id := rand.Text()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", id)
	w.Header().Set("Location", "/api/v1/log/entries/"+id)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{id: added})
}

func (i *Instance) entry(ctx context.Context, proposed io.Reader) (map[string]any, error) {
	read, err := models.UnmarshalProposedEntry(proposed, runtime.JSONConsumer())
	if err != nil {
		return nil, err
	}
	parsed, err := types.CreateVersionedEntry(read)
	if err != nil {
		return nil, err
	}
	body, err := types.CanonicalizeEntry(ctx, parsed)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	if i.LogTime != nil {
		at = i.LogTime()
	}
	id := hex.EncodeToString(logID(i.t, i.rekor))
	entry := map[string]any{"body": base64.StdEncoding.EncodeToString(body), "integratedTime": at.Unix(), "logID": id, "logIndex": 0}
	encoded, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	canonical, err := jsoncanonicalizer.Transform(encoded)
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadECDSASignerVerifier(i.rekor, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	promise, err := signer.SignMessage(bytes.NewReader(canonical))
	if err != nil {
		return nil, err
	}
	leaf := sha256.Sum256(append([]byte{0}, body...)) // Source: RFC 6962, section 2.1
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, "rekor.localhost", 1, 1, leaf[:], signer)
	if err != nil {
		return nil, err
	}
	entry["verification"] = map[string]any{"signedEntryTimestamp": promise, "inclusionProof": map[string]any{
		"treeSize": 1, "logIndex": 0, "rootHash": hex.EncodeToString(leaf[:]), "hashes": []string{}, "checkpoint": string(checkpoint)}}
	return entry, nil
}

// timestamp answers a query for a timestamp. Source: RFC 3161.
func (i *Instance) timestamp(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	request, err := timestamp.ParseRequest(query)
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("reading the query: %w", err))
		return
	}
	stamp := timestamp.Timestamp{HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: time.Now(), Nonce: request.Nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, ExtraExtensions: request.Extensions, AddTSACertificate: request.Certificates}
	answer, err := stamp.CreateResponseWithOpts(i.stamper.certificate, i.stamper.key, crypto.SHA256)
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(answer)
}
