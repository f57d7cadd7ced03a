package localaws

import (
	"net/http/httptest"
	"regexp"
	"testing"
)

// FuzzRegistryPath: no path makes the server panic or answer 500; a path that names a part also names a repository.
func FuzzRegistryPath(f *testing.F) {
	for _, seed := range []string{
		"/v2/shop/manifests/a", "/v2/shop/blobs/uploads/", "/v2/shop/blobs/uploads", "/v2/a/b/tags/list", "/v2//manifests/",
		"/v2/shop/referrers/sha256:0", "/v2/blobs/blobs/blobs", "/v2/../v2/x", "/v2/shop/blobs/uploads/x/y",
	} {
		f.Add(seed, "GET")
		f.Add(seed, "PUT")
	}
	server, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := server.CreateRepository("shop", TagRule{}); err != nil {
		f.Fatal(err)
	}
	methods := regexp.MustCompile(`^[A-Z]{1,10}$`)
	f.Fuzz(func(t *testing.T, path, method string) {
		if !methods.MatchString(method) {
			return
		}
		request := httptest.NewRequest(method, "/", nil)
		request.URL.Path = path
		request.SetBasicAuth("AWS", server.IssueToken())
		if named := parseCall(request); named.route.isRegistry() && named.route != RoutePing && named.route != RouteOther && named.target.Repository == "" {
			t.Errorf("%q names %+v", path, named)
		}
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, request)
		if answer.Code >= 500 {
			t.Errorf("%s %q got %d %s", method, path, answer.Code, answer.Body)
		}
	})
}
