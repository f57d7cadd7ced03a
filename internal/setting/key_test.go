package setting_test

import (
	"testing"

	"github.com/onedigest/onedigest/internal/setting"
)

func TestParseKeyRef(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]setting.KeyRef{
		"cosign.pub":                                     {Source: setting.KeyFile, Name: "cosign.pub"},
		"env://COSIGN_PRIVATE_KEY":                       {Source: setting.KeyEnv, Name: "COSIGN_PRIVATE_KEY"},
		"awskms:///alias/staging":                        {Source: setting.KeyKMS, Name: "alias/staging"},
		"awskms:///1234abcd-12ab-34cd-56ef-1234567890ab": {Source: setting.KeyKMS, Name: "1234abcd-12ab-34cd-56ef-1234567890ab"},
		"awskms:///arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab": {Source: setting.KeyKMS, Name: "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
	} {
		got, err := setting.ParseKeyRef(given)
		if err != nil || got != want || got.String() != given {
			t.Errorf("%s: got %+v, %v", given, got, err)
		}
	}
	for _, given := range []string{"env://", "env://A-B", "env://A=B", "awskms://localhost/alias/x", "awskms:///", "awskms:///key/x", "awskms:///alias/a b",
		"awskms:///arn:aws:s3:::bucket", "gcpkms://x", "https://example.com/key"} {
		if got, err := setting.ParseKeyRef(given); err == nil {
			t.Errorf("%s: got %+v", given, got)
		}
	}
}
