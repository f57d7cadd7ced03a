package ecr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

// TestCreateRepository: with safe settings if it is absent, and one that exists is not changed.
func TestCreateRepository(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	server.Repository("old")
	for name, want := range map[string]bool{"team/shop": true, "old": false} {
		repo := release.Repository(server.Address() + "/" + name)
		for _, want := range []bool{want, false} {
			if created, err := c.CreateRepository(t.Context(), repo); created != want || err != nil {
				t.Errorf("%s: created %t, %v, want %t", name, created, err, want)
			}
		}
	}
	for name, want := range map[string]bool{"team/shop": true, "old": false} {
		if has, err := c.HasLifecyclePolicy(t.Context(), release.Repository(server.Address()+"/"+name)); has != want || err != nil {
			t.Errorf("%s: has a lifecycle policy: %t, %v", name, has, err)
		}
	}
	api, err := c.api(location{})
	if err != nil {
		t.Fatal(err)
	}
	described, err := api.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"team/shop", "old"}})
	if err != nil {
		t.Fatal(err)
	}
	created, old := described.Repositories[0], described.Repositories[1]
	if created.ImageTagMutability != types.ImageTagMutabilityImmutable || !created.ImageScanningConfiguration.ScanOnPush || old.ImageTagMutability != types.ImageTagMutabilityMutable {
		t.Errorf("got %+v and %+v", created, old)
	}
	policy, err := api.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: aws.String("team/shop")})
	if err != nil || !strings.Contains(aws.ToString(policy.LifecyclePolicyText), `"tagPatternList":["*-dirty-*"]`) {
		t.Errorf("got %+v, %v", policy, err)
	}
}

func TestCreateRepositoryFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		route   localaws.Route
		created bool
		want    string
	}{
		{localaws.RouteDescribeRepositories, false, "allow ecr:DescribeRepositories"},
		{localaws.RouteCreateRepository, false, "allow ecr:CreateRepository"},
		{localaws.RoutePutLifecyclePolicy, true, "allow ecr:PutLifecyclePolicy"},
	} {
		server, c := start(t)
		server.Inject(localaws.Fault{Route: test.route, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
		created, err := c.CreateRepository(t.Context(), release.Repository(server.Address()+"/shop"))
		if created != test.created || !strings.Contains(fmt.Sprint(err), test.want) || release.ExitCode(err) != release.ExitFault {
			t.Errorf("%s: created %t, got %v", test.route, created, err)
		}
	}
}
