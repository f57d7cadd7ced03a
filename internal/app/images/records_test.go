package images_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

// attached is a record that a test writes, dated from now.
type attached struct {
	verdict release.Verdict
	at      time.Duration
	of      func(*release.Evidence) // changes the evidence; nil: nothing
	names   bool                    // the writer names the records that the registry lists, as Record does
}

// A pass counts if no other verdict may be later. ECR tells which record it got last; elsewhere the writers' clocks and what a
// record names decide, and a verdict whose order is unknown counts as later.
func TestNewestOrdersVerdicts(t *testing.T) {
	t.Parallel()
	const pass, fail = release.Pass, release.Fail
	elsewhere := func(e *release.Evidence) { e.Image.Repository += "-other" }
	for name, test := range map[string]struct {
		records      []attached // in the order in which the registry gets them
		plain, onECR release.Verdict
	}{
		"a pass of next year, then a failure":                      {[]attached{{pass, 365 * 24 * time.Hour, nil, false}, {fail, -time.Minute, nil, false}}, fail, fail},
		"a failure, then a pass of next year":                      {[]attached{{fail, -time.Hour, nil, false}, {pass, 365 * 24 * time.Hour, nil, false}}, fail, fail},
		"a failure, then a pass about another":                     {[]attached{{fail, -time.Hour, nil, false}, {pass, 0, elsewhere, false}}, fail, fail},
		"a failure, then a pass two minutes later":                 {[]attached{{fail, -4 * time.Minute, nil, false}, {pass, -2 * time.Minute, nil, false}}, fail, pass},
		"a failure that the pass names":                            {[]attached{{fail, -4 * time.Minute, nil, true}, {pass, -2 * time.Minute, nil, true}}, pass, pass},
		"a failure of next year that the pass names":               {[]attached{{fail, 365 * 24 * time.Hour, nil, true}, {pass, 0, nil, true}}, pass, pass},
		"a pass, then a failure by a clock that lags":              {[]attached{{pass, -2 * time.Minute, nil, false}, {fail, -4 * time.Minute, nil, false}}, fail, fail},
		"a pass that the failure names":                            {[]attached{{pass, -time.Minute, nil, true}, {fail, -3 * time.Minute, nil, true}}, fail, fail},
		"a pass that a failure hours behind names":                 {[]attached{{pass, -time.Minute, nil, true}, {fail, -3 * time.Hour, nil, true}}, fail, fail},
		"a pass, then a failure that is hours behind":              {[]attached{{pass, -time.Minute, nil, false}, {fail, -3 * time.Hour, nil, false}}, pass, fail},
		"an old pass that is pushed again":                         {[]attached{{pass, -time.Hour, nil, false}, {fail, -30 * time.Minute, nil, true}, {pass, -time.Hour, nil, false}}, fail, fail},
		"a pass pushed again after a recent failure":               {[]attached{{pass, -2 * time.Minute, nil, false}, {fail, -time.Minute, nil, true}, {pass, -2 * time.Minute, nil, false}}, fail, fail},
		"a pass pushed again, with an old record between":          {[]attached{{pass, -2 * time.Minute, nil, false}, {fail, -time.Minute, nil, true}, {fail, -time.Hour, nil, false}, {pass, -2 * time.Minute, nil, false}}, fail, fail},
		"a pass pushed again after a failure that is hours behind": {[]attached{{pass, -time.Hour, nil, false}, {fail, -3 * time.Hour, nil, false}, {pass, -time.Hour, nil, false}}, pass, fail},
		"a failure long before a pass":                             {[]attached{{fail, -time.Hour, nil, false}, {pass, 0, nil, false}}, pass, pass},
	} {
		for kind, start := range map[string]func(t *testing.T) (release.Repository, []string, registry.Credentials){
			"plain": func(t *testing.T) (release.Repository, []string, registry.Credentials) {
				return registrytest.Repository(t), nil, nil
			},
			"ECR": func(t *testing.T) (release.Repository, []string, registry.Credentials) {
				server := localawstest.Start(t, ticking)
				return server.Repository("shop"), server.Env(), func(context.Context, string) (string, string, error) {
					return "AWS", server.IssueToken(), nil
				}
			},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				repository, environment, credentials := start(t)
				connected, told := connect(t, environment)
				image := push(t, connected, repository)
				for _, each := range test.records {
					attach(t, connected, credentials, image, each)
				}
				want := test.plain
				if kind == "ECR" {
					want = test.onECR
				}
				newest, found, err := connected.Newest(t.Context(), image, "staging")
				if err != nil || !found || newest.Verdict != want {
					t.Errorf("got %q of %s, %t, %v, want %q\n%s", newest.Verdict, newest.At, found, err, want, told)
				}
			})
		}
	}
}

// A role that may not ask ECR for times gets the rule of other registries, and is told so.
func TestNewestWithoutTheRegistrysTimes(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Inject(localaws.Fault{Route: localaws.RouteDescribeImages, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
	connected, told := connect(t, server.Env())
	image := push(t, connected, server.Repository("shop"))
	credentials := func(context.Context, string) (string, string, error) { return "AWS", server.IssueToken(), nil }
	attach(t, connected, credentials, image, attached{release.Fail, -4 * time.Minute, nil, false})
	attach(t, connected, credentials, image, attached{release.Pass, -2 * time.Minute, nil, false})
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	if err != nil || !found || newest.Verdict != release.Fail {
		t.Errorf("got %+v, %t, %v, want the failure, whose order is unknown", newest, found, err)
	}
	if !strings.Contains(told.String(), "allow ecr:DescribeImages") {
		t.Errorf("told %q", told)
	}
}

// TestARecordOfManyPods names as many of them as evidence may have.
func TestARecordOfManyPods(t *testing.T) {
	t.Parallel()
	connected, _ := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	written := record(image, "staging", release.Pass, time.Now())
	written.Pods = make([]string, 1001)
	for i := range written.Pods {
		written.Pods[i] = fmt.Sprintf("shop-%d", i)
	}
	if _, err := connected.Record(t.Context(), written); err != nil {
		t.Fatal(err)
	}
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	if err != nil || !found || len(newest.Pods) != 1000 {
		t.Errorf("got %d pods, %t, %v", len(newest.Pods), found, err)
	}
}

// TestNewestOfTargetsReadsFew: of each target, the newest pass is read and none of the older ones; a failure is read until its target has passed.
func TestNewestOfTargetsReadsFew(t *testing.T) {
	t.Parallel()
	var read atomic.Int64 // manifests
	all := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
			read.Add(1)
		}
		all.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	connected, told := connect(t, nil)
	image := push(t, connected, release.Repository(strings.TrimPrefix(server.URL, "http://")+"/shop"))
	smoked := func(cluster string, verdict release.Verdict, hours int) release.Digest {
		written := record(image, "staging", verdict, time.Now().Add(time.Duration(hours)*time.Hour))
		written.Target = release.Target{Cluster: cluster, Namespace: "staging", Release: "shop"}
		digest, err := registry.New(registry.Options{}).Attach(t.Context(), image, evidence.ArtifactType, evidence.MediaType, encoded(t, written), map[string]string{
			evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(verdict), evidence.AnnotationTarget: evidence.EncodeTarget(written.Target),
			release.AnnotationCreated: written.At.UTC().Format("2006-01-02T15:04:05.000000Z")})
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	failed := smoked("us", release.Fail, -60)
	smoked("eu", release.Fail, -58)
	for hours := -50; hours < -10; hours += 2 {
		smoked("eu", release.Pass, hours)
	}
	check := func(want release.Digest) {
		t.Helper()
		read.Store(0)
		newest, found, err := connected.Newest(t.Context(), image, "staging")
		if err != nil || !found || newest.Record != want || read.Load() > 2 {
			t.Errorf("got %q of %v, %t, %v after reading %d manifests, want at most 2\n%s", newest.Verdict, newest.Target, found, err, read.Load(), told)
		}
	}
	check(failed)
	check(smoked("us", release.Pass, -5))
	each, err := connected.NewestOfEach(t.Context(), image, "staging")
	if err != nil || len(each) != 2 || each[0].Target.Cluster != "eu" || each[0].Verdict != release.Pass || each[1].Target.Cluster != "us" || each[1].Verdict != release.Pass {
		t.Errorf("got %+v, %v", each, err)
	}
	at, found, err := connected.NewestAt(t.Context(), image, "staging", each[0].Target)
	if err != nil || !found || at.Record != each[0].Record {
		t.Errorf("got %+v, %t, %v", at, found, err)
	}
}

// TestRecordNamesTheTarget in the annotations too, so that a record that cannot be read keeps its target.
func TestRecordNamesTheTarget(t *testing.T) {
	t.Parallel()
	connected, _ := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	for _, cluster := range []string{"us", "eu"} {
		written := record(image, "staging", map[string]release.Verdict{"us": release.Fail, "eu": release.Pass}[cluster], time.Now())
		written.Target = release.Target{Cluster: cluster, Namespace: "staging", Release: "shop"}
		if _, err := connected.Record(t.Context(), written); err != nil {
			t.Fatal(err)
		}
	}
	for referrer, err := range registry.New(registry.Options{}).Referrers(t.Context(), image, registry.ReferrerQuery{ArtifactTypes: []string{evidence.ArtifactType}}) {
		read, decoding := evidence.Decode(referrer.Content)
		if err != nil || decoding != nil || evidence.DecodeTarget(referrer.Annotations[evidence.AnnotationTarget]) != read.Target || read.Target.IsZero() {
			t.Errorf("got %+v, %v, %v of %v", read.Target, err, decoding, referrer.Annotations)
		}
	}
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	if err != nil || !found || newest.Target.Cluster != "us" {
		t.Errorf("got %+v, %t, %v", newest.Target, found, err)
	}
}

// ticking gives the registry a clock that goes on by at least a millisecond, which is what ECR's times resolve, at each reading.
func ticking(options *localaws.Options) {
	var ticks atomic.Int64
	options.Now = func() time.Time { return time.Now().Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
}

// attach writes a record.
func attach(t *testing.T, connected *images.Images, credentials registry.Credentials, image release.Image, of attached) {
	t.Helper()
	written := record(image, "staging", of.verdict, time.Now().Add(of.at))
	if of.of != nil {
		of.of(&written)
	}
	if of.names {
		if _, err := connected.Record(t.Context(), written); err != nil {
			t.Fatal(err)
		}
		return
	}
	client := registry.New(registry.Options{Credentials: credentials})
	if _, err := client.Attach(t.Context(), image, evidence.ArtifactType, evidence.MediaType, encoded(t, written), map[string]string{
		evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(of.verdict),
		release.AnnotationCreated: written.At.UTC().Format("2006-01-02T15:04:05.000000Z"),
	}); err != nil {
		t.Fatal(err)
	}
}
