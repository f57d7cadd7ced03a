package localaws_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

// keyPolicy has the form of those in terraform/aws_infra/kms.tf: everybody of the account may check, and only the signer signs.
const keyPolicy = `{"Version":"2012-10-17","Statement":[
  {"Sid":"AccountChecksByIAM","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::ACCOUNT:root"},"Action":["kms:GetPublicKey","kms:Verify"],"Resource":"*"},
  {"Sid":"ItsJobsSign","Effect":"Allow","Principal":{"AWS":"SIGNER"},"Action":"kms:Sign","Resource":"*"}]}`

// TestAKeyPolicyDecidesWhoSigns: a job of staging reads production's public key and cannot sign with production's private one.
func TestAKeyPolicyDecidesWhoSigns(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	client := kms.New(kms.Options{BaseEndpoint: aws.String(server.URL()), Region: localaws.DefaultRegion, Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey)})
	const account = localaws.DefaultAccount
	own := "arn:aws:iam::" + account + ":user/localaws"
	sum := sha256.Sum256([]byte("message"))
	create := func(policy string) (*kms.CreateKeyOutput, error) {
		return client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify, Policy: aws.String(policy)})
	}
	for signer, want := range map[string]string{own: "", "arn:aws:iam::" + account + ":role/onedigest-deploy-production": "AccessDeniedException", "arn:aws:iam::210987654321:root": "AccessDeniedException"} {
		made, err := create(strings.NewReplacer("ACCOUNT", account, "SIGNER", signer).Replace(keyPolicy))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId}); err != nil {
			t.Errorf("%s: the public key: %v", signer, err)
		}
		_, err = client.Sign(t.Context(), &kms.SignInput{KeyId: made.KeyMetadata.KeyId, Message: sum[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
		if want == "" && err != nil {
			t.Errorf("%s: %v", signer, err)
		}
		if want != "" {
			wantAPIError(t, err, want, "kms:Sign")
		}
	}
	denied := `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*"},{"Effect":"Deny","Principal":{"AWS":["` + own + `"]},"Action":["kms:Get*"]}]}`
	made, err := create(denied)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: made.KeyMetadata.KeyId})
	wantAPIError(t, err, "AccessDeniedException", "kms:GetPublicKey")
	for _, bad := range []string{`{`, `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Condition":{}}]}`, `{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"*"},"Action":"kms:*"}]}`,
		`{"Statement":[{"Effect":"Maybe","Principal":{"AWS":"*"},"Action":"kms:*"}]}`} {
		_, err := create(bad)
		wantAPIError(t, err, "MalformedPolicyDocumentException", "")
	}
}
