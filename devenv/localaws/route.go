package localaws

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Route names what a request asks for: an API operation as "ecr:PutImage", or a part of the registry.
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

	RouteStatus      Route = "localaws:status"      // /_localaws/status
	RoutePutCluster  Route = "localaws:PutCluster"  // PUT /_localaws/eks/<cluster>
	RouteTokenReview Route = "localaws:TokenReview" // #nosec G101 -- a name: POST /_localaws/eks/<cluster>/tokenreview
	RouteUnknown     Route = "unknown"              // no registry path, no path of EKS's, no X-Amz-Target, no Action
)

// The API operations, as routes.
const (
	RouteGetAuthorizationToken Route = "ecr:GetAuthorizationToken" // #nosec G101 -- a name
	RouteCreateRepository      Route = "ecr:CreateRepository"
	RouteDescribeRepositories  Route = "ecr:DescribeRepositories"
	RouteDeleteRepository      Route = "ecr:DeleteRepository"
	RoutePutImageTagMutability Route = "ecr:PutImageTagMutability"
	RouteDescribeImages        Route = "ecr:DescribeImages"
	RouteListImages            Route = "ecr:ListImages"
	RouteBatchGetImage         Route = "ecr:BatchGetImage"
	RoutePutImage              Route = "ecr:PutImage"
	RouteBatchDeleteImage      Route = "ecr:BatchDeleteImage"
	RouteGetCallerIdentity     Route = "sts:GetCallerIdentity"
	RouteDescribeCluster       Route = "eks:DescribeCluster"
)

const (
	ecrService = "ecr"
	stsService = "sts"
	eksService = "eks"
	ecrTarget  = "AmazonEC2ContainerRegistry_V20150921" // prefix of X-Amz-Target
	statusPath = "/_localaws/status"
	eksPath    = "/_localaws/eks/" // what EKS does not do by its API
	formType   = "application/x-www-form-urlencoded"

	maxFormBytes = 64 << 10
)

func (r Route) registry() bool { return strings.HasPrefix(string(r), "registry:") }

// call is a request as its address and headers name it, before anything is checked.
type call struct {
	route      Route
	service    string // "ecr", "sts" or "eks", for an API
	operation  string // for an API
	repository string // for the registry
	reference  string // the tag, digest or upload id at the end of a registry path
	cluster    string // for EKS
}

// registryPath splits a registry path as the OCI distribution-spec writes its end points ("API", end-1 to end-12).
var registryPath = regexp.MustCompile(`^/v2/(.+)/(?:(manifests)/([^/]+)|(blobs)/(uploads)(?:/([^/]*))?|(blobs)/([^/]+)|(tags)/list|(referrers)/([^/]+))$`)

func parseCall(r *http.Request) call {
	path := r.URL.Path
	switch {
	case path == "/v2" || path == "/v2/":
		return call{route: RoutePing}
	case strings.HasPrefix(path, "/v2/"):
		return parseRegistryPath(path)
	case path == statusPath:
		return call{route: RouteStatus}
	case path == "/clusters", strings.HasPrefix(path, "/clusters/"), strings.HasPrefix(path, eksPath):
		return parseClusterPath(r.Method, path)
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		if service, operation, found := strings.Cut(target, "."); found && service == ecrTarget {
			return call{route: apiRoute(ecrService, operation), service: ecrService, operation: operation}
		}
		return call{route: RouteUnknown}
	}
	// Only the query string here: a form is read once the signature needs the body.
	if action := r.URL.Query().Get("Action"); action != "" {
		return call{route: apiRoute(stsService, action), service: stsService, operation: action}
	}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); mediaType == formType {
		form := peekForm(r)
		return call{route: apiRoute(stsService, form.Get("Action")), service: stsService, operation: form.Get("Action")}
	}
	return call{route: RouteUnknown}
}

func parseRegistryPath(path string) call {
	parts := registryPath.FindStringSubmatch(path)
	if parts == nil {
		return call{route: RouteOther}
	}
	found := call{repository: parts[1]}
	switch {
	case parts[2] != "":
		found.route, found.reference = RouteManifest, parts[3]
	case parts[5] != "":
		found.route, found.reference = RouteUpload, parts[6]
	case parts[7] != "":
		found.route, found.reference = RouteBlob, parts[8]
	case parts[9] != "":
		found.route = RouteTags
	default:
		found.route, found.reference = RouteReferrers, parts[11]
	}
	return found
}

// parseClusterPath reads a path of EKS's API, which names its operations by method and path, and of what stands beside it.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html, "Request Syntax"
func parseClusterPath(method, path string) call {
	found := call{route: RouteUnknown, service: eksService}
	if rest, beside := strings.CutPrefix(path, eksPath); beside {
		name, isReview := strings.CutSuffix(rest, "/tokenreview")
		switch {
		case name == "" || strings.Contains(name, "/"):
		case isReview && method == http.MethodPost:
			found = call{route: RouteTokenReview, cluster: name}
		case !isReview && method == http.MethodPut:
			found.route, found.cluster = RoutePutCluster, name
		}
		return found
	}
	name := strings.TrimPrefix(path, "/clusters/")
	if method == http.MethodGet && name != path && name != "" && !strings.Contains(name, "/") {
		found.route, found.operation, found.cluster = RouteDescribeCluster, "DescribeCluster", name
	}
	return found
}

// apiRoute keeps a made-up operation out of the log and of fault matching.
func apiRoute(service, operation string) Route {
	if !operationPattern.MatchString(operation) {
		return RouteUnknown
	}
	return Route(service + ":" + operation)
}

var operationPattern = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// peekForm reads a form and leaves the body as it was.
func peekForm(r *http.Request) url.Values {
	body, ok := readBody(r, maxFormBytes)
	if !ok {
		return nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return form
}
