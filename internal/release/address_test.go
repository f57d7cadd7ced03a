package release_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ kind, name, url string }{
		"auto": {}, "none": {}, "service/shop-web": {"Service", "shop-web", ""}, "ingress/shop": {"Ingress", "shop", ""},
		"https://shop.example.com": {"", "", "https://shop.example.com"}, "http://127.0.0.1:8080/base": {"", "", "http://127.0.0.1:8080/base"},
	} {
		got, err := release.ParseAddress(text)
		if kind, name := got.Object(); err != nil || kind != want.kind || name != want.name || got.URL() != want.url {
			t.Errorf("%q: got %q, %q, %q, %v", text, kind, name, got.URL(), err)
		}
	}
	for _, text := range []string{"", "shop", "pod/shop", "service/", "service/a/b", "Service/shop", "ftp://x", "https://", "https://u:p@x", "http://x?a=b"} {
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
	} {
		var endpoints, leading []release.Object
		for _, text := range strings.Fields(objects) {
			text, leads := strings.CutSuffix(text, "=leads")
			kind, name, _ := strings.Cut(text, "/")
			endpoints = append(endpoints, release.Object{Kind: kind, Name: name})
			if leads {
				leading = append(leading, release.Object{Kind: kind, Name: name})
			}
		}
		found, ok, err := release.SelectEndpoint(endpoints, "shop", func(o release.Object) bool { return slices.Contains(leading, o) })
		got := ""
		switch {
		case err != nil:
			got = "error"
		case ok:
			got = string(release.AddressOf(found))
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", objects, got, err, want)
		}
	}
}
