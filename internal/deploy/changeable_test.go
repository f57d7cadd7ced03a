package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestNothingIsChangedIfAFieldCannotBe: an upgrade that the cluster would refuse in its middle does not begin: no hook runs, nothing is applied or rolled back.
func TestNothingIsChangedIfAFieldCannotBe(t *testing.T) {
	t.Parallel()
	fakes := &fakes{history: live(another), unchangeable: &release.Failure{What: "OD-201 release \"shop\" cannot be deployed", Do: "put the field back"}}
	_, log, err := fakes.run(t)
	if err == nil || release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "OD-201") {
		t.Errorf("got %v", err)
	}
	if slices.Contains(fakes.done, "deploy") || slices.ContainsFunc(fakes.done, func(did string) bool { return strings.HasPrefix(did, "rollback") }) {
		t.Errorf("did %v", fakes.done)
	}
	if strings.Contains(log, "rolled back") {
		t.Errorf("logged %s", log)
	}
}
