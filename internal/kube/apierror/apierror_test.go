package apierror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestFault(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	token := &release.Fault{Side: "AWS", Err: errors.New("no credentials")}
	for name, test := range map[string]struct {
		cancelled bool
		err       error
		want      string
	}{
		"cancelled":    {true, errors.New("x"), "listing pods of \"shop\": context canceled"},
		"a token":      {false, fmt.Errorf("Get: %w", token), token.Error()},
		"unauthorized": {false, apierrors.NewUnauthorized("no"), "refused or expired"},
		"forbidden":    {false, apierrors.NewForbidden(pods, "", errors.New("no rule")), "ask a cluster administrator"},
		"unreachable":  {false, errors.New("connection refused"), "check whether https://cluster.example.com can be reached"},
		"of a webhook": {false, apierrors.NewBadRequest("denied\n::error::\x1b[31mforged\u202e"), `denied :\:error::forged`},
	} {
		ctx := t.Context()
		if test.cancelled {
			ctx = cancelled
		}
		err := Fault(ctx, "https://cluster.example.com", test.err, "listing pods of %q", "shop")
		if !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\n\x1b\u202e") {
			t.Errorf("%s: got %q, want %q in it", name, err, test.want)
		}
		if got, want := errors.Is(err, context.Canceled), name == "cancelled"; got != want {
			t.Errorf("%s: wraps context.Canceled: %t", name, got)
		}
	}
}
