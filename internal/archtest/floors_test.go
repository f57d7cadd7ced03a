// Package archtest holds the floors of the house: which package may import what, and who may touch the process.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/onedigest/onedigest/"

// floor says what the packages that match may not import, and why.
type floor struct {
	packages []string // relative to the module, or a prefix ending in "/"
	allowed  []string // of this module; nil: nothing of it
	banned   []string // import path prefixes of others
	why      string
}

var heavy = []string{"helm.sh/", "k8s.io/", "sigs.k8s.io/", "github.com/aws/", "github.com/google/go-containerregistry", "github.com/sethvargo/go-githubactions"}

func except(list []string, allowed ...string) (rest []string) {
	for _, item := range list {
		keep := true
		for _, a := range allowed {
			keep = keep && item != a
		}
		if keep {
			rest = append(rest, item)
		}
	}
	return rest
}

// wiring is what every wiring package may import, and what this one may besides.
func wiring(others ...string) []string {
	return append([]string{"internal/release", "internal/release/causes", "internal/release/fact", "internal/setting", "internal/text", "internal/app", "internal/app/page"}, others...)
}

var floors = []floor{
	{packages: []string{"internal/text"}, banned: []string{"github.com/", "golang.org/", "k8s.io/", "sigs.k8s.io/", "helm.sh/", "net", "os"},
		why: "a rule about characters, which every adapter may use; the standard library only"},
	{packages: []string{"internal/execx"}, banned: append([]string{"net"}, heavy...),
		why: "where a program is found, for the adapters that run one"},
	{packages: []string{"internal/httpx"}, allowed: []string{"internal/text"}, banned: heavy,
		why: "how a request is sent and read, for every adapter that speaks HTTP; it knows no protocol above"},
	{packages: []string{"internal/worktree"}, allowed: []string{"internal/release"}, banned: append([]string{"net"}, heavy...),
		why: "which paths a commit controls, for every adapter that is told paths"},
	{packages: []string{"internal/awsx"}, allowed: []string{"internal/httpx", "internal/text", "internal/worktree", "internal/release"}, banned: except(heavy, "github.com/aws/"),
		why: "the set-up that ecr and eks share; it calls no service"},
	{packages: []string{"internal/idtoken"}, allowed: []string{"internal/httpx"}, banned: heavy,
		why: "the runner's identity token, which oidc and keyless signing share: AWS exchanges it for credentials, Sigstore for a certificate"},
	{packages: []string{"internal/release/causes"}, banned: []string{"github.com/", "golang.org/", "k8s.io/", "sigs.k8s.io/", "helm.sh/", "net", "os"},
		why: "a table of words; the standard library only"},
	{packages: []string{"internal/release"}, allowed: []string{"internal/release/causes", "internal/text"}, banned: []string{"github.com/", "golang.org/", "k8s.io/", "sigs.k8s.io/", "helm.sh/", "net", "os"},
		why: "domain types and rules, no adapter; the standard library only"},
	{packages: []string{"internal/release/fact"}, allowed: []string{"internal/release"}, banned: []string{"github.com/", "golang.org/", "k8s.io/", "sigs.k8s.io/", "helm.sh/", "net", "os"},
		why: "domain types and rules, no adapter; the standard library only"},
	{packages: []string{"internal/release/releasetest"}, allowed: []string{"internal/release", "internal/release/fact", "internal/release/causes"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "values for the tests of the packages above, no adapter"},
	{packages: []string{"internal/setting"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a declaration is pure: what it reads is handed to it"},
	{packages: []string{"internal/matrix"}, allowed: []string{"internal/release", "internal/setting", "internal/text"}, banned: append([]string{"os", "net"}, heavy...),
		why: "how one file becomes the jobs of a verb; what a job does is handed over"},
	{packages: []string{"internal/policy"}, allowed: []string{"internal/release", "internal/release/fact", "internal/text"}, banned: append([]string{"os", "net", "github.com/", "golang.org/"}, heavy...),
		why: "rules of promotion: what they are compared with is handed over"},
	{packages: []string{"internal/scan"}, allowed: []string{"internal/release", "internal/release/fact", "internal/setting", "internal/scan/report"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a verb declares the interfaces it needs beside itself; app hands it the adapters"},
	{packages: []string{"internal/scan/report"}, allowed: []string{"internal/release", "internal/release/fact", "internal/text", "internal/evidence/strictjson"}, banned: append([]string{"os", "net"}, heavy...),
		why: "results are text: files are handed over"},
	{packages: []string{"internal/policy/policyfile"}, allowed: []string{"internal/release", "internal/release/fact", "internal/setting", "internal/text", "internal/policy"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "the file of rules is text"},
	{packages: []string{"internal/deploy"}, allowed: []string{"internal/release", "internal/release/fact", "internal/release/causes", "internal/setting", "internal/matrix", "internal/deploy/planfile", "internal/deploy/via", "internal/policy", "internal/text"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a verb declares the interfaces it needs beside itself; app hands it the adapters"},
	{packages: []string{"internal/deploy/via"}, allowed: []string{"internal/release", "internal/setting"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "settings are declarations; what they lead to is wired above"},
	{packages: []string{"internal/build", "internal/smoke", "internal/promote"}, allowed: []string{"internal/release", "internal/release/fact", "internal/release/causes", "internal/setting", "internal/matrix", "internal/policy", "internal/text"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a verb declares the interfaces it needs beside itself; app hands it the adapters"},
	{packages: []string{"internal/deploy/planfile"}, allowed: []string{"internal/release", "internal/text"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a kept plan is text and rules: files and clusters are handed over"},
	{packages: []string{"internal/pipeline"}, allowed: []string{"internal/release", "internal/release/causes", "internal/setting", "internal/matrix", "internal/build", "internal/deploy", "internal/smoke", "internal/promote"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "the pipeline calls the other verbs with their own settings and results, and knows no adapter"},
	{packages: []string{"internal/setting/settingtest"}, allowed: []string{"internal/setting"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "values for the tests of the verbs, no adapter"},
	{packages: []string{"internal/registry/transfer"}, allowed: []string{"internal/httpx"}, banned: append([]string{"os"}, heavy...),
		why: "how a blob is uploaded and goes on after a fault; whose credentials are sent is the registry's"},
	{packages: []string{"internal/evidence/copied"}, allowed: []string{"internal/release", "internal/text", "internal/evidence/strictjson"}, banned: append([]string{"net", "os"}, heavy...),
		why: "a statement is text and rules; where it is attached is another package's"},
	{packages: []string{"internal/ecr/lifecycle"}, banned: append([]string{"net", "os"}, heavy...),
		why: "the rules of a policy, over images that are handed over"},
	{packages: []string{"internal/registry"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx", "internal/registry/transfer"}, banned: except(heavy, "github.com/google/go-containerregistry"),
		why: "adapters never import each other; credentials arrive as a value"},
	{packages: []string{"internal/image/static"}, banned: append([]string{"net", "compress/gzip"}, heavy...),
		why: "a layer's bytes depend on pinned modules and files alone, not on the machine or its Go"},
	{packages: []string{"internal/image/base"}, banned: append([]string{"os", "net", "compress/gzip"}, heavy...),
		why: "a layer's bytes depend on pinned modules and files alone, not on the machine or its Go"},
	{packages: []string{"internal/image/dockerconfig"}, allowed: []string{"internal/execx"}, banned: append([]string{"net"}, heavy...),
		why: "the docker client's configuration is a file"},
	{packages: []string{"internal/image/sbom"}, allowed: []string{"internal/release", "internal/release/fact"}, banned: append([]string{"net"}, except(heavy, "github.com/google/go-containerregistry")...),
		why: "what a layout contains; where the list is attached is another package's"},
	{packages: []string{"internal/image"}, allowed: []string{"internal/image/base", "internal/image/static", "internal/image/dockerconfig", "internal/image/sbom", "internal/release", "internal/release/fact", "internal/release/causes", "internal/text", "internal/execx"}, banned: except(heavy, "github.com/google/go-containerregistry"),
		why: "a builder leaves an OCI layout on disk and knows no registry"},
	{packages: []string{"internal/ecr"}, allowed: []string{"internal/ecr/lifecycle", "internal/release", "internal/release/fact", "internal/release/causes", "internal/text", "internal/httpx", "internal/awsx", "internal/worktree"}, banned: except(heavy, "github.com/aws/"),
		why: "images through ECR's own API; clusters are another adapter's"},
	{packages: []string{"internal/secretstore"}, allowed: []string{"internal/release", "internal/text", "internal/awsx", "internal/execx", "internal/worktree"}, banned: except(heavy, "github.com/aws/"),
		why: "secrets are read here and nowhere else; what takes them is handed the values"},
	{packages: []string{"internal/eks"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx", "internal/awsx", "internal/worktree"}, banned: except(heavy, "github.com/aws/"),
		why: "finding a cluster and making its tokens needs AWS; talking to it is another adapter's"},
	{packages: []string{"internal/sigstore"}, allowed: []string{"internal/release"}, banned: append([]string{"os"}, heavy...),
		why: "certificates of Sigstore; what is signed and whose signature counts is decided above"},
	{packages: []string{"internal/sigstore/sigstoretest"}, banned: heavy,
		why: "an instance of Sigstore for tests, which knows nothing of the code under test"},
	{packages: []string{"internal/app/keyless"}, allowed: wiring("internal/sigstore", "internal/idtoken"), banned: heavy,
		why: "keyless signing, for the program with all verbs only: its libraries would double the size of promote"},
	{packages: []string{"internal/oidc"}, allowed: []string{"internal/release", "internal/text", "internal/idtoken", "internal/awsx", "internal/worktree"}, banned: except(heavy, "github.com/aws/"),
		why: "credentials of a role; what they are used for is another adapter's"},
	{packages: []string{"internal/helm/manifest"}, allowed: []string{"internal/release", "internal/text"}, banned: append([]string{"os", "net", "k8s.io/client-go", "k8s.io/cli-runtime"}, except(heavy, "k8s.io/", "sigs.k8s.io/")...),
		why: "a manifest is text and fields; it needs neither Helm nor a cluster"},
	{packages: []string{"internal/helm/failure"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text"}, banned: append([]string{"os", "net", "k8s.io/client-go"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why: "errors are classified by their texts alone"},
	{packages: []string{"internal/helm/chart"}, allowed: []string{"internal/release", "internal/text", "internal/helm/manifest"}, banned: append([]string{"net"}, except(heavy, "helm.sh/", "k8s.io/", "sigs.k8s.io/")...),
		why: "a chart is checked and rendered offline"},
	{packages: []string{"internal/helm/renderer"}, allowed: []string{"internal/release", "internal/text"}, banned: append([]string{"net"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why: "templates are rendered in a process of their own, which knows no deployment"},
	{packages: []string{"internal/helm/source"}, allowed: []string{"internal/release", "internal/text", "internal/httpx", "internal/helm/chart"}, banned: except(heavy, "helm.sh/", "sigs.k8s.io/"),
		why: "charts are found and completed here; a registry is another adapter's, which is handed over"},
	{packages: []string{"charts"}, banned: append([]string{"os", "net"}, heavy...),
		why: "the files of the common chart; what reads a chart is handed them"},
	{packages: []string{"internal/helm/pack"}, allowed: []string{"internal/release", "internal/text", "internal/helm/chart"}, banned: append([]string{"os", "net"}, except(heavy, "helm.sh/")...),
		why: "a chart becomes bytes; a registry is another adapter's"},
	{packages: []string{"internal/helm/objects"}, allowed: []string{"internal/release", "internal/helm/manifest"}, banned: append([]string{"os", "net"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why: "it reads a release's objects and changes none"},
	{packages: []string{"internal/helm/history"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx", "internal/helm/manifest", "internal/helm/failure"}, banned: append([]string{"os", "net", "k8s.io/cli-runtime"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why: "revisions are records; the objects that they list are another package's"},
	{packages: []string{"internal/helm/plan"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/helm/manifest", "internal/helm/failure", "internal/helm/chart", "internal/helm/objects", "internal/helm/history"},
		banned: append([]string{"os", "net"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why:    "it sends dry runs only; what applies a release is above it"},
	{packages: []string{"internal/helm"}, allowed: []string{"internal/release", "internal/text", "internal/httpx", "internal/helm/"}, banned: append([]string{"os"}, except(heavy, "helm.sh/", "k8s.io/")...),
		why: "moving to the next major version of Helm must be the work of this package and those below it"},
	{packages: []string{"internal/kube/store"}, banned: except(heavy, "k8s.io/"),
		why: "a store follows any kind of object and knows nothing of releases"},
	{packages: []string{"internal/kube/diagnose"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text"},
		banned: append(except(heavy, "k8s.io/"), "k8s.io/client-go", "net", "os", "context", "sync"),
		why:    "a cause is found in API objects that are handed over: no client, no clock, no lock"},
	{packages: []string{"internal/kube"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx", "internal/kube/store", "internal/kube/diagnose", "internal/kube/apierror", "internal/kube/kubeconfig"}, banned: append([]string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/discovery"}, except(heavy, "k8s.io/")...),
		why: "access to a cluster; what is deployed there is another adapter's, and a client of every API group would make smoke 10 MB larger"},
	{packages: []string{"internal/kube/kubeconfig"}, allowed: []string{"internal/release", "internal/text", "internal/httpx", "internal/worktree", "internal/kube/apierror"}, banned: except(heavy, "k8s.io/"),
		why: "how a cluster is reached, before there is a client"},
	{packages: []string{"internal/kube/rollout"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/kube", "internal/kube/store", "internal/kube/diagnose"}, banned: except(heavy, "k8s.io/", "sigs.k8s.io/"),
		why: "watching is ours; Helm's wait must not creep in"},
	{packages: []string{"internal/kube/argocd"}, allowed: []string{"internal/release", "internal/text", "internal/kube", "internal/kube/store"}, banned: except(heavy, "k8s.io/"),
		why: "an Application is an object of the cluster; the repository that it applies is another adapter's"},
	{packages: []string{"internal/kube/forward"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/kube"}, banned: except(heavy, "k8s.io/"),
		why: "a connection to a pod, whatever is sent over it"},
	{packages: []string{"devenv/runner"}, banned: heavy,
		why: "a runner that imported what it runs would prove nothing"},
	{packages: []string{"devenv/acttest"}, banned: heavy,
		why: "what runs workflows for tests and benchmarks knows nothing of what they do"},
	{packages: []string{"devenv/registrytest"}, allowed: []string{"internal/release"}, banned: except(heavy, "github.com/google/go-containerregistry"),
		why: "a registry for the tests of the floors above"},
	{packages: []string{"internal/kube/kubetest"}, banned: except(heavy, "k8s.io/"),
		why: "an apiserver for the tests of the floors above"},
	{packages: []string{"internal/kube/apierror"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text"}, banned: except(heavy, "k8s.io/"),
		why: "the words for a failed API request need no client"},
	{packages: []string{"internal/kube/lease"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/kube/apierror"}, banned: except(heavy, "k8s.io/"),
		why: "the Lease needs the coordination client only, and nothing that watches rollouts"},
	{packages: []string{"internal/github"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx"}, banned: except(heavy, "github.com/sethvargo/go-githubactions"),
		why: "the only importer of go-githubactions"},
	{packages: []string{"internal/git"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/execx"}, banned: heavy,
		why: "git itself does the work; it needs no client library"},
	{packages: []string{"internal/git/configrepo"}, allowed: []string{"internal/git", "internal/release", "internal/text"}, banned: append([]string{"net"}, heavy...),
		why: "the only package that pushes; what it writes is decided above"},
	{packages: []string{"internal/gitops"}, allowed: []string{"internal/release", "internal/text", "internal/git/configrepo", "internal/kube/argocd"}, banned: append([]string{"net"}, heavy...),
		why: "a release as commits: the repository and the Application are below it, what renders is handed over"},
	{packages: []string{"internal/evidence/strictjson"}, allowed: []string{"internal/text"}, banned: append([]string{"net", "os"}, heavy...),
		why: "a rule about JSON, which every reader of evidence uses"},
	{packages: []string{"internal/evidence/signed"}, allowed: []string{"internal/text", "internal/evidence/strictjson"}, banned: append([]string{"net", "os"}, heavy...),
		why: "signatures over bytes; where keys and bundles are is another package's"},
	{packages: []string{"internal/evidence/signed/signedtest"}, allowed: []string{"internal/evidence/signed"}, banned: heavy,
		why: "keys for the tests of every package that signs or verifies"},
	{packages: []string{"internal/kms"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx", "internal/awsx", "internal/worktree"}, banned: except(heavy, "github.com/aws/"),
		why: "signing through AWS KMS; what is signed is another package's"},
	{packages: []string{"internal/app/roles"}, allowed: wiring("internal/oidc", "internal/awsx", "internal/idtoken"), banned: heavy,
		why: "the AWS role of a run, assumed once for all adapters"},
	{packages: []string{"internal/app/keys"}, allowed: wiring("internal/app/roles", "internal/evidence", "internal/evidence/signed", "internal/kms", "internal/release/fact"), banned: heavy,
		why: "the keys that verbs name, wherever they are"},
	{packages: []string{"internal/evidence"}, allowed: []string{"internal/release", "internal/release/fact", "internal/text", "internal/evidence/strictjson"}, banned: append([]string{"os", "net"}, heavy...),
		why: "statements are bytes and rules; signatures and registries are other packages'"},
	{packages: []string{"internal/probe"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/httpx"}, banned: heavy,
		why: "adapters never import each other, and these need no client library"},
	{packages: []string{"internal/probe/command"}, allowed: []string{"internal/release", "internal/release/causes", "internal/text", "internal/execx"}, banned: append([]string{"net"}, heavy...),
		why: "it runs programs, which send their own requests"},
	{packages: []string{"devenv/localaws", "devenv/localaws/"}, allowed: []string{"internal/release", "internal/release/causes", "devenv/localaws", "devenv/localaws/"}, banned: []string{"helm.sh/", "k8s.io/", "sigs.k8s.io/", "github.com/sethvargo/"},
		why: "a local AWS that imported the code under test would prove nothing"},
	{packages: []string{"internal/github/githubtest"}, banned: heavy,
		why: "an API for the tests of the floors above"},
	{packages: []string{"internal/github/markdown"}, allowed: []string{"internal/text"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a rule about characters, for every page that GitHub shows"},
	{packages: []string{"internal/app/page"}, allowed: []string{"internal/release", "internal/release/causes", "internal/github/markdown", "internal/text"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a page made of values: it reads and writes nothing"},
	{packages: []string{"internal/app"}, allowed: []string{"internal/app/page", "internal/release", "internal/release/fact", "internal/release/causes", "internal/setting", "internal/github", "internal/text", "internal/worktree"}, banned: heavy,
		why: "it runs any verb; the adapters of one verb are wired in a package of that verb"},
	{packages: []string{"internal/app/apptest"}, banned: append([]string{"github.com/"}, heavy...),
		why: "what tests of whole verbs share; no adapter"},
	{packages: []string{"internal/app/images"}, allowed: wiring("internal/app/roles", "internal/registry", "internal/ecr", "internal/evidence", "internal/evidence/signed", "internal/evidence/copied"), banned: heavy,
		why: "images and evidence for the verbs, without a cluster"},
	{packages: []string{"internal/app/hooks"}, allowed: wiring("internal/kube", "internal/kube/rollout"), banned: heavy,
		why: "what explains a hook that fails in an uninstall, for uninstall and preview"},
	{packages: []string{"internal/app/clusters"}, allowed: wiring("internal/app/roles", "internal/kube", "internal/kube/kubeconfig", "internal/eks"), banned: except(heavy, "k8s.io/"),
		why: "a cluster for the verbs, without Helm"},
	{packages: []string{"internal/app/gates"}, allowed: wiring("internal/app/images", "internal/app/keys", "internal/evidence/signed", "internal/policy", "internal/policy/policyfile", "internal/release/fact"), banned: heavy,
		why: "the rules of promotion and what they ask the registry for"},
	{packages: []string{"internal/app/build"}, allowed: wiring("internal/app/images", "internal/app/keys", "internal/build", "internal/evidence", "internal/git", "internal/image"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/app/promote"}, allowed: wiring("internal/app/images", "internal/app/keys", "internal/app/gates", "internal/promote", "internal/git"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/app/scan"}, allowed: wiring("internal/app/images", "internal/app/keys", "internal/scan"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/app/history"}, allowed: wiring("internal/app/images", "internal/app/gates", "internal/evidence", "internal/history", "internal/history/board", "internal/git"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/admission"}, allowed: []string{"internal/release", "internal/release/fact", "internal/setting", "internal/policy"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a verb knows its own interfaces only; its adapters are handed over"},
	{packages: []string{"internal/app/admission"}, allowed: wiring("internal/app/gates", "internal/admission", "internal/evidence"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/initialize"}, allowed: []string{"internal/release", "internal/setting", "internal/initialize/survey"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a verb knows its own interfaces only: it reads a tree that it is handed, and hands back files"},
	{packages: []string{"internal/initialize/survey"}, banned: append([]string{"os", "net"}, heavy...),
		why: "what files say: the tree is handed over"},
	{packages: []string{"internal/app/initialize"}, allowed: wiring("internal/initialize"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/doctor"}, allowed: []string{"internal/release", "internal/setting", "internal/initialize/survey"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a verb knows its own interfaces only; its adapters are handed over"},
	{packages: []string{"internal/app/doctor"}, allowed: wiring("internal/app/clusters", "internal/app/deploy", "internal/app/gates", "internal/app/images", "internal/app/roles", "internal/deploy", "internal/doctor", "internal/execx", "internal/git", "internal/kube"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/status"}, allowed: []string{"internal/release", "internal/release/fact", "internal/setting", "internal/policy", "internal/matrix", "internal/deploy", "internal/text"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a verb knows its own interfaces only, and the settings of a matrix's deploys; its adapters are handed over"},
	{packages: []string{"internal/app/status"}, allowed: wiring("internal/app/clusters", "internal/app/gates", "internal/app/images", "internal/helm", "internal/kube", "internal/kube/argocd", "internal/kube/lease", "internal/status"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/uninstall"}, allowed: []string{"internal/release", "internal/setting", "internal/policy", "internal/deploy", "internal/text"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a verb knows its own interfaces only, and deploy's words for releases; its adapters are handed over"},
	{packages: []string{"internal/app/uninstall"}, allowed: wiring("internal/app/clusters", "internal/app/gates", "internal/app/hooks", "internal/helm", "internal/kube", "internal/kube/argocd", "internal/kube/lease", "internal/uninstall"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/history"}, allowed: []string{"internal/release", "internal/release/fact", "internal/setting", "internal/policy"}, banned: append([]string{"os", "net/http"}, heavy...),
		why: "a verb knows its own interfaces only; its adapters are handed over"},
	{packages: []string{"internal/history/board"}, allowed: []string{"internal/history", "internal/release", "internal/release/fact"}, banned: append([]string{"net/http", "os"}, heavy...),
		why: "a page made of a result: it reads and writes nothing"},
	{packages: []string{"internal/app/smoke"}, allowed: wiring("internal/app/gates", "internal/app/images", "internal/app/keys", "internal/evidence/signed", "internal/app/clusters", "internal/smoke", "internal/probe", "internal/probe/command", "internal/execx", "internal/git", "internal/kube", "internal/kube/forward"), banned: heavy,
		why: "one verb and its adapters; the libraries stay behind the adapters"},
	{packages: []string{"internal/app/deploy"}, allowed: wiring("internal/app/roles", "internal/app/images", "internal/app/keys", "internal/app/gates", "internal/policy", "internal/evidence/signed", "internal/app/clusters", "internal/app/smoke", "internal/deploy", "internal/deploy/planfile", "internal/deploy/via", "internal/smoke", "internal/git", "internal/git/configrepo", "internal/gitops", "internal/github", "internal/github/markdown", "internal/helm", "internal/helm/renderer", "internal/helm/source", "internal/kube", "internal/kube/", "internal/secretstore", "charts"), banned: heavy,
		why: "one verb and its adapters, and smoke's for the checks inside a deploy; the only one that links Helm"},
	{packages: []string{"internal/preview"}, allowed: []string{"internal/release", "internal/setting", "internal/deploy", "internal/text"}, banned: append([]string{"os", "net"}, heavy...),
		why: "a verb declares the interfaces it needs beside itself, and calls deploy with its own settings and results"},
	{packages: []string{"internal/kube/previews"}, allowed: []string{"internal/release", "internal/kube/apierror"}, banned: except(heavy, "k8s.io/"),
		why: "the only package that deletes a namespace"},
	{packages: []string{"internal/app/preview"}, allowed: wiring("internal/app/clusters", "internal/app/deploy", "internal/app/hooks", "internal/deploy", "internal/preview", "internal/git", "internal/github", "internal/helm", "internal/kube/lease", "internal/kube/previews"), banned: heavy,
		why: "a preview runs deploy, and removes what it deployed"},
	{packages: []string{"internal/app/publishchart"}, allowed: wiring("internal/app/images", "internal/helm/pack"), banned: heavy,
		why: "it publishes charts of this repository, and needs no cluster"},
	{packages: []string{"internal/app/onedigest"}, allowed: wiring("internal/app/build", "internal/app/deploy", "internal/app/smoke", "internal/app/promote", "internal/app/pipeline", "internal/app/history", "internal/app/admission", "internal/app/initialize", "internal/app/doctor", "internal/app/status", "internal/app/uninstall", "internal/app/keyless", "internal/app/scan", "internal/app/preview"), banned: heavy,
		why: "the program with all verbs"},
	{packages: []string{"internal/app/pipeline"}, allowed: wiring("internal/app/images", "internal/app/clusters", "internal/app/build", "internal/app/deploy", "internal/app/smoke", "internal/app/promote", "internal/pipeline", "internal/build", "internal/deploy", "internal/smoke", "internal/promote", "internal/git"), banned: heavy,
		why: "the pipeline runs the other verbs"},
	{packages: []string{"cmd/localaws"}, allowed: []string{"devenv/localaws/command"}, banned: heavy,
		why: "a main is thin: the stand-in for AWS is in devenv"},
	{packages: []string{"cmd/"}, allowed: []string{"internal/app", "internal/app/", "devenv/localaws/command"}, banned: heavy,
		why: "a main is thin: it names the wiring of its verb and links no library itself"},
}

func load(t *testing.T) map[string]*packages.Package {
	t.Helper()
	config := &packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedFiles | packages.NeedSyntax, Dir: "../.."}
	loaded, err := packages.Load(config, "./internal/...", "./cmd/...", "./devenv/...", "./charts")
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]*packages.Package{}
	for _, p := range loaded {
		if len(p.GoFiles) > 0 {
			byPath[strings.TrimPrefix(p.PkgPath, module)] = p
		}
	}
	return byPath
}

func matches(name string, patterns []string) bool {
	for _, pattern := range patterns {
		if name == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(name, pattern) {
			return true
		}
	}
	return false
}

func TestFloors(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	loaded := load(t)
	for _, floor := range floors {
		for path, p := range loaded {
			if !matches(path, floor.packages) {
				continue
			}
			covered[path] = true
			for imported := range p.Imports {
				if offence := floor.offends(imported); offence != "" {
					t.Errorf("%s imports %q, %s: %s", path, imported, offence, floor.why)
				}
			}
		}
	}
	for path := range loaded {
		if !covered[path] {
			t.Errorf("package %q is on no floor: give it a line in the table", path)
		}
	}
}

// maxFiles is how many files without tests a package may have: one that needs more has two purposes.
const maxFiles = 20

func TestNoPackageIsTooLarge(t *testing.T) {
	t.Parallel()
	for path, p := range load(t) {
		if len(p.GoFiles) > maxFiles {
			t.Errorf("package %q has %d files, at most %d are allowed: give a part of it a package of its own", path, len(p.GoFiles), maxFiles)
		}
	}
}

func floorOf(t *testing.T, path string) floor {
	t.Helper()
	for _, floor := range floors {
		if matches(path, floor.packages) {
			return floor
		}
	}
	t.Fatalf("no floor has %s", path)
	return floor{}
}

func (f floor) offends(imported string) string {
	if own, ours := strings.CutPrefix(imported, module); ours {
		if !matches(own, f.allowed) {
			return "which is not on a lower floor"
		}
		return ""
	}
	for _, prefix := range f.banned {
		if imported == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/") {
			return fmt.Sprintf("which is banned (%s)", prefix)
		}
	}
	return ""
}

// linked lists import path prefixes that a program may not link, though they are on a floor that the program stands on: what
// one verb does not need, nobody who uses that verb downloads.
var linked = map[string][]string{
	"cmd/smoke": {"helm.sh/", "k8s.io/client-go/kubernetes/", "k8s.io/client-go/discovery/", // these two register every API group: 10 MB
		"github.com/sigstore/"},
	"cmd/promote": {"helm.sh/", "k8s.io/", "sigs.k8s.io/", "github.com/sigstore/"},
	"cmd/scan":    {"helm.sh/", "k8s.io/", "sigs.k8s.io/", "github.com/sigstore/"},
	"cmd/build":   {"helm.sh/", "k8s.io/", "sigs.k8s.io/", "github.com/sigstore/"},
}

func TestProgramsLinkWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for program, banned := range linked {
		for path := range dependencies(t, "./"+program) {
			for _, prefix := range banned {
				if strings.HasPrefix(path, prefix) {
					t.Errorf("%s links %s", program, path)
				}
			}
		}
	}
	if !dependencies(t, "./cmd/deploy")["helm.sh/helm/v3/pkg/action"] {
		t.Error("cmd/deploy does not link Helm: this test looks for the wrong packages")
	}
}

// dependencies are the import paths of everything that a package links.
func dependencies(t *testing.T, pattern string) map[string]bool {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps, Dir: "../.."}, pattern)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	packages.Visit(loaded, func(p *packages.Package) bool {
		paths[p.PkgPath] = true
		return true
	}, nil)
	return paths
}

// TestFloorTableBites holds the checker itself to a known offence and a known good import.
func TestFloorTableBites(t *testing.T) {
	t.Parallel()
	verbs := floorOf(t, "internal/build")
	if verbs.offends(module+"internal/registry") == "" || verbs.offends("k8s.io/client-go/rest") == "" || verbs.offends("os") == "" {
		t.Error("a verb that imports an adapter, a client library or os passes")
	}
	if offence := verbs.offends("os/signal"); offence == "" {
		t.Error("a verb that imports os/signal passes")
	}
	if offence := verbs.offends(module + "internal/release"); offence != "" {
		t.Errorf("a verb that imports release is refused: %s", offence)
	}
}

// clusterLibraries may be imported by these packages only; every other floor must ban them.
var clusterLibraries = []string{"internal/helm", "internal/helm/", "internal/kube", "internal/kube/", "internal/app/clusters"}

func TestEveryFloorBansTheClusterLibraries(t *testing.T) {
	t.Parallel()
	for _, floor := range floors {
		for _, path := range floor.packages {
			if matches(path, clusterLibraries) {
				continue
			}
			for _, library := range []string{"k8s.io/api/core/v1", "k8s.io/client-go/rest", "sigs.k8s.io/yaml", "helm.sh/helm/v3/pkg/action"} {
				if floor.offends(library) == "" {
					t.Errorf("the floor of %q does not ban %q", path, library)
				}
			}
		}
	}
	if !strings.Contains(floorOf(t, "cmd/smoke").offends("k8s.io/client-go/rest"), "k8s.io/") || floorOf(t, "internal/kube").offends("k8s.io/client-go/rest") != "" {
		t.Error("a main may import client-go, or internal/kube may not")
	}
}

// processOnly are the names through which code reaches into the process it runs in.
var processOnly = map[string]bool{"Getenv": true, "LookupEnv": true, "Environ": true, "Setenv": true, "Args": true, "Stdin": true, "Stdout": true, "Stderr": true, "Exit": true, "Getwd": true}

func TestOnlyAppTouchesTheProcess(t *testing.T) {
	t.Parallel()
	for path, p := range load(t) {
		if path == "internal/app" || strings.HasPrefix(path, "cmd/") {
			continue
		}
		for _, file := range p.Syntax {
			ast.Inspect(file, func(node ast.Node) bool {
				selector, ok := node.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if name, ok := selector.X.(*ast.Ident); ok && name.Name == "os" && processOnly[selector.Sel.Name] {
					t.Errorf("%s: os.%s: the environment and the streams are handed down from internal/app", p.Fset.Position(selector.Pos()), selector.Sel.Name)
				}
				return true
			})
		}
	}
}

// waysOut are the names by which code could print past the sink of internal/app, by the import path of their package; nil: all of them.
// Where one is allowed, the sink itself is made.
var waysOut = []struct {
	path    string
	names   []string
	allowed []string // files
}{
	{"fmt", []string{"Print", "Printf", "Println"}, nil},
	{"log", nil, []string{"internal/app/capture.go", "internal/helm/renderer/serve.go"}}, // the renderer is a child of the sink's process
	{"log/slog", nil, nil},
	{"log/syslog", nil, nil},
	{"k8s.io/klog/v2", []string{"Info", "Infof", "InfoS", "Warning", "Warningf", "Error", "Errorf", "ErrorS", "Fatal", "Fatalf"}, nil},
	{"syscall", []string{"Write", "Stdout", "Stderr"}, nil},
	{"os", []string{"Stdout", "Stderr", "NewFile"}, []string{"internal/app/process.go", "internal/app/capture.go", "cmd/localaws/main.go"}},
	{module + "internal/github", []string{"New"}, []string{"internal/app/sink.go"}},
	{module + "internal/app", []string{"CurrentProcess"}, nil},
}

// TestEveryWayOutIsTheSink: what a package prints, it prints through internal/app's sink, which redacts and sanitizes it.
func TestEveryWayOutIsTheSink(t *testing.T) {
	t.Parallel()
	checked := 0
	for path, p := range load(t) {
		if strings.HasPrefix(path, "devenv/") {
			continue
		}
		for _, file := range p.Syntax {
			at := strings.TrimPrefix(p.Fset.Position(file.Pos()).Filename, rootOf(t)+"/")
			for _, offence := range printsOf(file, at) {
				t.Errorf("%s: %s: print through the reporter, or through a writer of the process", at, offence)
			}
			checked++
		}
	}
	if checked < 100 {
		t.Errorf("%d files were checked", checked)
	}
}

// TestWaysOutAreFound holds the search itself to files that print.
func TestWaysOutAreFound(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		"import \"fmt\"\nfunc f() { fmt.Println(1) }":                                   1,
		"import \"fmt\"\nfunc f() string { return fmt.Sprint(1) }":                      0,
		"import other \"fmt\"\nfunc f() { other.Printf(\"\") }":                         1,
		"import \"log\"\nfunc f() { log.Default() }":                                    1,
		"import \"os\"\nvar out = os.Stdout":                                            1,
		"import \"github.com/onedigest/onedigest/internal/github\"\nvar a = github.New": 1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\n"+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := printsOf(file, "internal/a/a.go"); len(got) != want {
			t.Errorf("%s: got %q", source, got)
		}
	}
}

// printsOf lists what a file uses of waysOut.
func printsOf(file *ast.File, at string) (found []string) {
	for _, way := range waysOut {
		if slices.Contains(way.allowed, at) {
			continue
		}
		name := path.Base(strings.TrimSuffix(way.path, "/v2"))
		imported := false
		for _, spec := range file.Imports {
			if spec.Path.Value == strconv.Quote(way.path) {
				imported = true
				if spec.Name != nil {
					name = spec.Name.Name
				}
			}
		}
		if !imported {
			continue
		}
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := selector.X.(*ast.Ident)
			if ok && of.Name == name && (way.names == nil || slices.Contains(way.names, selector.Sel.Name)) {
				found = append(found, name+"."+selector.Sel.Name)
			}
			return true
		})
	}
	return found
}

func rootOf(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestMainsAreThin(t *testing.T) {
	t.Parallel()
	for path, p := range load(t) {
		if !strings.HasPrefix(path, "cmd/") {
			continue
		}
		for _, file := range p.Syntax {
			if lines := p.Fset.Position(file.End()).Line; lines > 20 {
				t.Errorf("%s has %d lines; a main has at most 20", path, lines)
			}
		}
	}
}
