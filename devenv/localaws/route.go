package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/ecr"
	"github.com/onedigest/onedigest/devenv/localaws/internal/eks"
	"github.com/onedigest/onedigest/devenv/localaws/internal/identity"
	"github.com/onedigest/onedigest/devenv/localaws/internal/kms"
	"github.com/onedigest/onedigest/devenv/localaws/internal/registry"
	"github.com/onedigest/onedigest/devenv/localaws/internal/secrets"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sts"

	"net/http"
	"regexp"
	"strings"
)

// Route says what a request is for: an API operation like "ecr:PutImage", or a part of the registry.
type Route string

// The registry's routes, and the ones that are neither API nor registry.
const (
	RoutePing      Route = "registry:ping"      // /v2/
	RouteManifest  Route = "registry:manifest"  // /v2/<name>/manifests/<reference>
	RouteBlob      Route = "registry:blob"      // /v2/<name>/blobs/<digest>
	RouteUpload    Route = "registry:upload"    // /v2/<name>/blobs/uploads/[<id>]
	RouteTags      Route = "registry:tags"      // /v2/<name>/tags/list
	RouteReferrers Route = "registry:referrers" // /v2/<name>/referrers/<digest>
	RouteOther     Route = "registry:other"     // anything else under /v2/

	RouteStatus        Route = "localaws:status"        // /_localaws/status
	RoutePutCluster    Route = "localaws:PutCluster"    // PUT /_localaws/eks/<cluster>
	RouteTokenReview   Route = "localaws:TokenReview"   // #nosec G101 -- a name: POST /_localaws/eks/<cluster>/tokenreview
	RouteIdentityToken Route = "localaws:IdentityToken" // #nosec G101 -- a name: the token service of a runner
	RouteUnknown       Route = "unknown"                // the request names no operation and no part of the registry
)

// The API operations, as routes.
const (
	RouteGetAuthorizationToken Route = "ecr:GetAuthorizationToken" // #nosec G101 -- a name
	RouteCreateRepository      Route = "ecr:CreateRepository"
	RouteGetLifecyclePolicy    Route = "ecr:GetLifecyclePolicy"
	RoutePutLifecyclePolicy    Route = "ecr:PutLifecyclePolicy"
	RouteDescribeRepositories  Route = "ecr:DescribeRepositories"
	RouteDeleteRepository      Route = "ecr:DeleteRepository"
	RoutePutImageTagMutability Route = "ecr:PutImageTagMutability"
	RouteDescribeImages        Route = "ecr:DescribeImages"
	RouteDescribeScanFindings  Route = "ecr:DescribeImageScanFindings"
	RouteListImages            Route = "ecr:ListImages"
	RouteListImageReferrers    Route = "ecr:ListImageReferrers"
	RouteBatchGetImage         Route = "ecr:BatchGetImage"
	RoutePutImage              Route = "ecr:PutImage"
	RouteBatchDeleteImage      Route = "ecr:BatchDeleteImage"
	RouteGetCallerIdentity     Route = "sts:GetCallerIdentity"
	RouteAssumeRole            Route = "sts:AssumeRoleWithWebIdentity"
	RouteDescribeCluster       Route = "eks:DescribeCluster"
	RouteGetPublicKey          Route = "kms:GetPublicKey"
	RouteSign                  Route = "kms:Sign"
	RouteGetSecretValue        Route = "secretsmanager:GetSecretValue" // #nosec G101 -- a name
	RouteGetParameters         Route = "ssm:GetParameters"
)

const (
	ecrService = "ecr"
	stsService = "sts"
	eksService = "eks"
	kmsService = "kms"
	statusPath = "/_localaws/status"
)

// targets are the services of the JSON protocol, by the prefix of X-Amz-Target.
var targets = map[string]string{ecr.Target: ecrService, kms.Target: kmsService, secrets.ManagerTarget: secrets.ManagerService, secrets.ParameterTarget: secrets.ParameterSigner}

// isRegistry reports whether a request is for the registry.
func (r Route) isRegistry() bool { return strings.HasPrefix(string(r), "registry:") }

// call is the target of a request by its path and headers. It is not checked yet.
type call struct {
	route     Route
	service   string          // "ecr", "sts", "eks", "kms", "secretsmanager" or "ssm", for an API
	operation string          // for an API
	target    registry.Target // for the registry
	cluster   string          // for EKS
}

// parseCall reads the path and the headers, and a form.
func parseCall(r *http.Request) call {
	path := r.URL.Path
	if target, found := registry.ParsePath(path); found {
		return call{route: Route("registry:" + target.Part), target: target}
	}
	switch {
	case path == statusPath:
		return call{route: RouteStatus}
	case path == identity.Path:
		return call{route: RouteIdentityToken}
	case path == "/clusters", strings.HasPrefix(path, "/clusters/"), strings.HasPrefix(path, eks.PathPrefix):
		return parseClusterPath(r.Method, path)
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, operation, found := strings.Cut(target, ".")
		if service := targets[prefix]; found && service != "" {
			return call{route: apiRoute(service, operation), service: service, operation: operation}
		}
		return call{route: RouteUnknown}
	}
	if operation, found := sts.Operation(r); found {
		return call{route: apiRoute(stsService, operation), service: stsService, operation: operation}
	}
	return call{route: RouteUnknown}
}

// parseClusterPath reads a path of EKS's API, which names its operations by method and path, and the paths of this server's own.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html, "Request Syntax"
func parseClusterPath(method, path string) call {
	found := call{route: RouteUnknown, service: eksService}
	if rest, ours := strings.CutPrefix(path, eks.PathPrefix); ours {
		name, isReview := strings.CutSuffix(rest, "/tokenreview")
		switch {
		case name == "" || strings.Contains(name, "/"):
		case isReview && method == http.MethodPost:
			found = call{route: RouteTokenReview, cluster: name}
		case !isReview && method == http.MethodPut:
			found.route, found.operation, found.cluster = RoutePutCluster, "PutCluster", name
		}
		return found
	}
	name := strings.TrimPrefix(path, "/clusters/")
	if method == http.MethodGet && name != path && name != "" && !strings.Contains(name, "/") {
		found.route, found.operation, found.cluster = RouteDescribeCluster, "DescribeCluster", name
	}
	return found
}

// apiRoute returns the route of an operation; a name that no AWS operation can have is unknown.
func apiRoute(service, operation string) Route {
	if !operationPattern.MatchString(operation) {
		return RouteUnknown
	}
	return Route(service + ":" + operation)
}

var operationPattern = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
