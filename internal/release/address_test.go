package release_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ kind, namespace, name, url string }{
		"auto": {}, "none": {}, "service/shop-web": {"Service", "", "shop-web", ""}, "ingress/shop": {"Ingress", "", "shop", ""}, "service/edge/shop": {"Service", "edge", "shop", ""},
		"https://shop.example.com": {"", "", "", "https://shop.example.com"}, "http://127.0.0.1:8080/base": {"", "", "", "http://127.0.0.1:8080/base"},
	} {
		got, err := release.ParseAddress(text)
		if kind, namespace, name := got.Object(); err != nil || kind != want.kind || namespace != want.namespace || name != want.name || got.URL() != want.url {
			t.Errorf("%q: got %q, %q, %q, %q, %v", text, kind, namespace, name, got.URL(), err)
		}
	}
	for _, text := range []string{"", "shop", "pod/shop", "service/", "service/a/b/c", "service//b", "service/a/", "Service/shop", "ftp://x", "https://", "https://u:p@x", "http://x?a=b"} {
		if got, err := release.ParseAddress(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestSelectEndpoint(t *testing.T) {
	t.Parallel()
	for objects, want := range map[string]string{
		"": "", "Service/web": "service/web", "Service/a Service/shop": "service/shop", "Ingress/a Ingress/shop": "ingress/shop",
		"Ingress/a Ingress/b Service/web": "service/web", "Service/a Service/b": "error", "Service/a Service/b Ingress/shop": "error", "Ingress/a Ingress/b": "error",
		"Service/a Service/b=leads": "service/b", "Ingress/a=leads Ingress/b": "ingress/a", "Service/a=leads Service/b=leads": "error", "Service/a=leads Service/shop": "service/shop",
		"Service/a Service/b Ingress/c=leads": "error", "Service/a Ingress/b=leads": "service/a",
		"Service/edge/web": "service/edge/web", "Service/edge/shop Service/web": "service/web", "Service/edge/shop Ingress/web": "ingress/web", "Service/edge/a Service/edge/shop": "service/edge/shop",
		"Service/edge/shop Service/more/shop": "error", "Service/edge/shop=leads Service/more/shop": "service/edge/shop",
	} {
		var endpoints, leading []release.Object
		for _, text := range strings.Fields(objects) {
			text, leads := strings.CutSuffix(text, "=leads")
			kind, name, _ := strings.Cut(text, "/")
			namespace := "staging"
			if before, after, isNamed := strings.Cut(name, "/"); isNamed {
				namespace, name = before, after
			}
			endpoints = append(endpoints, release.Object{Kind: kind, Namespace: namespace, Name: name})
			if leads {
				leading = append(leading, endpoints[len(endpoints)-1])
			}
		}
		found, ok, err := release.SelectEndpoint(endpoints, "staging", "shop", func(o release.Object) bool { return slices.Contains(leading, o) })
		got := ""
		switch {
		case err != nil:
			got = "error"
		case ok:
			got = string(release.AddressIn(found, "staging"))
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", objects, got, err, want)
		}
	}
}

func TestRoutesFor(t *testing.T) {
	t.Parallel()
	route := func(name, path string) release.Route {
		return release.Route{Service: release.Object{Name: name}, Path: path}
	}
	exact := route("exact", "/blog")
	exact.Exact = true
	expression := route("expression", "/api")
	expression.Expression = true
	fallback := route("fallback", "")
	fallback.Expression = true
	routes := []release.Route{fallback, route("blog", "/blog"), route("canary", "/blog/"), exact, expression, route("shop", "/shop/")}
	for path, want := range map[string]string{
		"/": "fallback", "/blog": "exact", "/blog?x=/shop": "exact", "/blog/1": "blogcanary", "/blogs": "fallback", "/shop": "shop", "/shop/1": "shop", "/api": "", "/apis/x": "",
	} {
		got := ""
		chosen, isKnown := release.RoutesFor(routes, path)
		for _, each := range chosen {
			got += each.Service.Name
		}
		if isKnown != (want != "") {
			t.Errorf("%s: it is known: %t", path, isKnown)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got, _ := release.RoutesFor([]release.Route{fallback, route("root", "/")}, "/x"); len(got) != 1 || got[0].Service.Name != "root" {
		t.Errorf("got %+v, want the root", got)
	}
	if got, _ := release.RoutesFor([]release.Route{route("a", "/"), route("canary", "/")}, "/x"); len(got) != 2 {
		t.Errorf("got %+v, want both", got)
	}
	loose := route("shop", "/shop")
	loose.Loose = true
	for name, test := range map[string]struct {
		route   release.Route
		isKnown bool
	}{"no path serves it": {route("shop", "/shop"), true}, "its controller decides": {loose, false}, "an expression of another path": {expression, true}} {
		if got, isKnown := release.RoutesFor([]release.Route{test.route}, "/shops"); len(got) != 0 || isKnown != test.isKnown {
			t.Errorf("%s: got %+v, known: %t", name, got, isKnown)
		}
	}
}
