package failure

import (
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestClassifyByTheClustersWords: what the cluster says of an object tells whether the release, the identity or the cluster is at fault.
func TestClassifyByTheClustersWords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		message string
		bad     bool // the release is at fault, and is rolled back
		code    int
		want    string
	}{
		"a claim that cannot be resized":  {`persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize`, true, release.ExitFailed, "OD-109"},
		"a LimitRange":                    {`persistentvolumeclaims "data" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi`, true, release.ExitFailed, "OD-109"},
		"a namespace that is deleted":     {`configmaps "a" is forbidden: unable to create new content in namespace tools because it is being terminated`, true, release.ExitFailed, "OD-109"},
		"an account of a Pod":             {`pods "a" is forbidden: error looking up service account staging/a: serviceaccount "a" not found`, true, release.ExitFailed, "OD-109"},
		"a hook that is refused":          {`pre-upgrade hooks failed: warning: Hook pre-upgrade shop/templates/migrate.yaml failed: 1 error occurred: * Job.batch "migrate" is invalid: spec.template.spec.restartPolicy: Required value`, true, release.ExitFailed, "so that it did not run: fix it in the chart or the values"},
		"a hook that is refused by quota": {`failed pre-install: warning: Hook pre-install shop/templates/a.yaml failed: pods "a" is forbidden: exceeded quota: team`, true, release.ExitFailed, "OD-108"},
		"a quota that wants requests":     {`pods "a" is forbidden: failed quota: team: must specify limits.cpu for: app`, true, release.ExitFailed, "OD-108"},
		"a user without a right":          {`configmaps is forbidden: User "ci" cannot create resource "configmaps" in API group "" in the namespace "staging"`, false, release.ExitFault, "grant the deploying identity"},
		"rights that the user lacks":      {`roles.rbac.authorization.k8s.io "a" is forbidden: user "ci" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held: {APIGroups:[""]}`, false, release.ExitFault, "escalate or bind"},
		"an owner that may not be set":    {`configmaps "a" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>`, false, release.ExitFault, "grant it"},
		"a quota that is new":             {`pods "a" is forbidden: status unknown for quota: team, resources: pods`, false, release.ExitFault, "deploy again"},
		"a quota that others change":      {`Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version and try again`, false, release.ExitFault, "deploy again"},
		"a record that others change":     {`Operation cannot be fulfilled on secrets "sh.helm.release.v1.shop.v1": the object has been modified; please apply your changes to the latest version and try again`, false, release.ExitFailed, "OD-203"},
		"a cluster that starts":           {`pods "a" is forbidden: not yet ready to handle request`, false, release.ExitFault, "deploy again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Classify(t.Context(), errors.New(test.message), "upgrading")
			if release.IsBadRelease(err) != test.bad || release.ExitCode(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got exit code %d, %v", release.ExitCode(err), err)
			}
		})
	}
}

// TestWhatCannotBeChanged is told from other refusals by the apiserver's words.
func TestWhatCannotBeChanged(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{
		`PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`:                              true,
		`Pod "a" is invalid: spec: Forbidden: pod updates may not change fields other than spec.containers[*].image`:                                                   true,
		`PriorityClass.scheduling.k8s.io "a" is invalid: value: Forbidden: may not be changed in an update.`:                                                           true,
		`persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize`: true,
		`Deployment.apps "a" is invalid: spec.selector: Invalid value: {}: field is immutable`:                                                                         true,
		`persistentvolumeclaims "data" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi`:                                       false,
	} {
		if got := IsImmutable(errors.New(message)); got != want {
			t.Errorf("%s: got %t", message, got)
		}
	}
}
