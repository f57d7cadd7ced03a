package setting_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

func TestClusterRef(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string // "": accepted
	}{
		"a kubeconfig":                 {[]string{"--kubeconfig", "x", "--context", "y"}, ""},
		"an EKS cluster":               {[]string{"--cluster", "shop-1", "--region", "eu-central-1", "--expect-account", "123456789012"}, ""},
		"both kinds of cluster":        {[]string{"--cluster", "shop", "--kube-context", "y"}, "together with the context"},
		"by its former name":           {[]string{"--cluster", "shop", "--context", "y"}, "together with the context"},
		"by both names":                {[]string{"--context", "x", "--kube-context", "y"}, "differs from --context, its former name"},
		"an account without cluster":   {[]string{"--expect-account", "123456789012"}, "applies only to an EKS cluster"},
		"an account of letters":        {[]string{"--cluster", "shop", "--expect-account", "me"}, "twelve digits"},
		"a cluster of spaces":          {[]string{"--cluster", "a b"}, "is not the name of an EKS cluster"},
		"a cluster that begins with -": {[]string{"--cluster=-a"}, "is not the name of an EKS cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, ref := new(setting.Set), new(setting.ClusterRef)
			ref.Declare(set)
			err := settingtest.Apply(set, test.args...)
			if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) && test.want != "" {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
