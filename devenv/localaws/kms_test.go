package localaws_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

// TestKMS uses AWS's own client: a key, its alias, its public part and its signatures; they outlast the server.
func TestKMS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := localawstest.Start(t, inDir(dir))
	client := kms.New(kms.Options{BaseEndpoint: aws.String(server.URL()), Region: localaws.DefaultRegion, Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey)})
	made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/staging"), TargetKeyId: made.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: aws.String("alias/staging")})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(public.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("message"))
	for _, input := range []*kms.SignInput{{Message: sum[:], MessageType: types.MessageTypeDigest}, {Message: []byte("message")}} {
		input.KeyId, input.SigningAlgorithm = made.KeyMetadata.Arn, types.SigningAlgorithmSpecEcdsaSha256
		signed, err := client.Sign(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		if !ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), sum[:], signed.Signature) {
			t.Error("the signature is not the key's")
		}
	}
	for want, call := range map[string]func() error{
		"NotFoundException": func() error {
			_, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: aws.String("alias/none")})
			return err
		},
		"UnsupportedOperationException": func() error {
			_, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify})
			return err
		},
		"InvalidKeyUsageException": func() error {
			_, err := client.Sign(t.Context(), &kms.SignInput{KeyId: made.KeyMetadata.KeyId, Message: sum[:], SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha512})
			return err
		},
		"ValidationException": func() error {
			_, err := client.Sign(t.Context(), &kms.SignInput{KeyId: made.KeyMetadata.KeyId, Message: sum[:8], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
			return err
		},
		"AlreadyExistsException": func() error {
			_, err := client.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/staging"), TargetKeyId: made.KeyMetadata.KeyId})
			return err
		},
		"UnknownOperationException": func() error {
			_, err := client.ListKeys(t.Context(), &kms.ListKeysInput{})
			return err
		},
	} {
		wantAPIError(t, call(), want, "")
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains(localaws.KeptFiles(), entry.Name()) {
			t.Errorf("a purge leaves %s", entry.Name())
		}
	}
	again := localawstest.Start(t, inDir(dir))
	if arn, err := again.CreateKey("alias/staging"); err != nil || arn != aws.ToString(made.KeyMetadata.Arn) {
		t.Errorf("got %s, %v", arn, err)
	}
	client = kms.New(kms.Options{BaseEndpoint: aws.String(again.URL()), Region: localaws.DefaultRegion, Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey)})
	if _, err := client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: made.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
	wantAPIError(t, err, "DisabledException", "is disabled")
}
