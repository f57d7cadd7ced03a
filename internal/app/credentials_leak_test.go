package app_test

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/oidc"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
)

// obtained are the credentials that servers gave a run, which nobody knows before it.
type obtained struct {
	mu     sync.Mutex
	tokens []string // identity tokens, which the run sends to who exchanges them
	keys   []string // secret keys, tokens of sessions and passwords of registries
}

// Credentials in answers: of AssumeRoleWithWebIdentity, GetAuthorizationToken and the runner.
var (
	keysInAnswer  = regexp.MustCompile(`<(?:SecretAccessKey|SessionToken)>([^<]+)<|"authorizationToken": ?"([^"]+)"`)
	tokenInAnswer = regexp.MustCompile(`^\{[^{}]*"value": ?"([^"]+)"`)
)

// read collects the credentials of an answer.
func (o *obtained) read(answer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, found := range keysInAnswer.FindAllStringSubmatch(string(answer), -1) {
		o.keys = append(o.keys, found[1]+found[2])
		if login, err := base64.StdEncoding.DecodeString(found[2]); err == nil && len(login) > 0 {
			_, password, _ := strings.Cut(string(login), ":")
			o.keys = append(o.keys, password)
		}
	}
	for _, found := range tokenInAnswer.FindAllStringSubmatch(string(answer), -1) {
		o.tokens = append(o.tokens, found[1], found[1][strings.LastIndex(found[1], ".")+1:]) // the signature too, for a token that is redacted in part
	}
}

// watch is middleware that reads the answers.
func (o *obtained) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		o.read(answer.Body.Bytes())
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// search fails the test if a credential is in a stream, an output, the summary, a file below root, the variables of a child process (which root
// has in a file), or those of this process; or if a server was sent one outside of the headers that are for it.
func (o *obtained) search(t *testing.T, ways emitted, root string) {
	t.Helper()
	shown := map[string]string{"standard output": ways.Stdout, "standard error": ways.Stderr, "outputs": ways.Outputs, "summary": ways.Summary, "variables": strings.Join(os.Environ(), "\n")}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			shown[path] = string(apptest.Unpacked([]byte(apptest.Read(t, path))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range slices.Concat(o.tokens, o.keys) {
		for name, text := range shown {
			for line := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
				if contains(line, secret) && !strings.HasPrefix(line, "::add-mask::") { // which the runner does not show
					t.Errorf("%s shows %s: %.500q", name, secret, line)
				}
			}
		}
	}
	for _, secret := range o.keys {
		for _, sent := range ways.Sent {
			if contains(sent.Text, secret) {
				t.Errorf("the %s was sent %s: %.500q", sent.To, secret, sent.Text)
			}
		}
	}
}

// refuseAsAWS refuses a request, and says what it got.
func refuseAsAWS(w http.ResponseWriter, r *http.Request) {
	said, _ := json.Marshal(map[string]string{"__type": "AccessDeniedException", "message": strings.Join(r.Header.Values("X-Amz-Security-Token"), " ") + " " + strings.Join(r.Header.Values("Authorization"), " ") + hostile})
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(said)
}

// contains reports whether a text has a secret, plain, in base64 or as a part of a URL.
func contains(shown, secret string) bool {
	return strings.Contains(shown, secret) || strings.Contains(shown, base64.StdEncoding.EncodeToString([]byte(secret))) || strings.Contains(shown, url.QueryEscape(secret))
}

// observedDocker is a docker client that keeps its variables and arguments in a file, so that they can be searched as they were.
const observedDocker = "#!/bin/sh\n{ env; echo \"$@\"; } >>\"$(dirname \"$0\")/../docker.txt\"\nexec fake-docker \"$@\"\n"

// TestCanariesOfARole: the identity token, the keys and the session of a role that a run assumes, and the registry's password that they get, are in no stream, output,
// summary or file, and in no variable of this process or of docker: when the run succeeds, and when every server but STS refuses and says what it got.
func TestCanariesOfARole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		echoes bool
		code   int
	}{"success": {false, release.ExitDone}, "a login given back": {true, release.ExitFault}} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				aws := localawstest.Start(t)
				aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
				aws.PutRole(localaws.Role{Name: "deploy", Audiences: []string{oidc.DefaultAudience}, Subjects: []string{"repo:octo/shop:*"}})
				aws.SetJob(localaws.Job{Repository: "octo/shop", Environment: "production", Ref: "refs/heads/main"})
				dir := canaryVerb{verb: "build", docker: "done", files: map[string]string{"../bin/docker": observedDocker}}.workTree(t, new(httptest.Server), "x")
				environ := slices.DeleteFunc(aws.Env(), func(pair string) bool {
					return strings.HasPrefix(pair, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(pair, "AWS_SECRET_ACCESS_KEY=")
				})
				environ = append(append(environ, aws.JobEnv()...), "PATH="+filepath.Join(dir, "../bin")+":"+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "../home"), "FAKE_DOCKER=done")
				asked, got := new(apptest.Servers), new(obtained)
				aws.Inject(localaws.Fault{Do: func(next http.Handler) http.Handler {
					return asked.Record("registry", got.watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						got.mu.Lock()
						assumed := len(got.keys) > 0
						got.mu.Unlock()
						if test.echoes && assumed {
							refuseAsAWS(w, r)
							return
						}
						next.ServeHTTP(w, r)
					})))
				}})
				code, ways := runInJob(t.Context(), t, verbNamed(t, "build"), dir, environ, []string{"--output", output, "--repository", aws.Address() + "/shop", "--builder", "docker",
					"--role", "arn:aws:iam::000000000000:role/deploy", "--region", localaws.DefaultRegion}, asked)
				if code != test.code && (!test.echoes || code != release.ExitFailed) {
					t.Errorf("exit %d:\n%s%s", code, ways.Stdout, ways.Stderr)
				}
				if test.echoes && !strings.Contains(ways.Stdout+ways.Stderr, "***") {
					t.Errorf("what the server got is not shown:\n%s%s", ways.Stdout, ways.Stderr)
				}
				if len(got.tokens) == 0 || len(got.keys) < 2 || !test.echoes && len(got.keys) < 4 {
					t.Errorf("the run obtained %d tokens and %d keys", len(got.tokens), len(got.keys))
				}
				if !test.echoes && !strings.Contains(apptest.Read(t, filepath.Join(dir, "../docker.txt")), "FAKE_DOCKER=done") {
					t.Error("the variables of docker were not kept")
				}
				got.search(t, ways, filepath.Dir(dir))
			})
		}
	}
}

// TestCanariesOfKeylessSigning: the identity token that a run exchanges for a certificate is in no stream, output, summary, file or record, and in no variable: when
// the run succeeds, and when Sigstore refuses and says what it got.
func TestCanariesOfKeylessSigning(t *testing.T) {
	t.Parallel()
	for name, echoes := range map[string]bool{"success": false, "a token given back": true} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				instance, aws, got, asked := sigstoretest.Start(t), localawstest.Start(t), new(obtained), new(apptest.Servers)
				aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
				aws.Inject(localaws.Fault{Do: func(next http.Handler) http.Handler { return asked.Record("registry", got.watch(next)) }})
				config := string(instance.SigningConfig(true, true))
				if echoes {
					refusing := httptest.NewServer(echo(http.StatusForbidden))
					t.Cleanup(refusing.Close)
					config = strings.ReplaceAll(config, instance.URL, refusing.URL)
				}
				dir := canaryVerb{verb: "build", files: map[string]string{"sigstore/trusted_root.json": string(instance.TrustedRoot(true)), "sigstore/signing_config.json": config}}.workTree(t, new(httptest.Server), "x")
				environ := append(aws.Env(), watchedRunner(t, instance, got)...)
				environ = append(append(environ, "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "../home")), goVariables(t)...)
				code, ways := runInJob(t.Context(), t, onedigest.Command(), dir, environ, []string{"build", "--output", output, "--repository", aws.Address() + "/shop", "--sign-key", "keyless://sigstore"}, asked)
				if want := map[bool]int{false: release.ExitDone, true: release.ExitFault}[echoes]; code != want {
					t.Errorf("exit %d, want %d:\n%s%s", code, want, ways.Stdout, ways.Stderr)
				}
				if len(got.tokens) == 0 {
					t.Error("the run asked for no token")
				}
				signed := func(s apptest.Sent) bool {
					return strings.Contains(s.Text, `"_type":"https://in-toto.io/Statement/v1"`)
				}
				if !echoes && !slices.ContainsFunc(ways.Sent, signed) {
					t.Error("no signed fact was searched")
				}
				got.keys = append(got.keys, got.tokens...) // neither is for the registry
				got.search(t, ways, filepath.Dir(dir))
			})
		}
	}
}

// watchedRunner returns the variables of a job whose runner is the instance's, and has its tokens collected.
func watchedRunner(t *testing.T, instance *sigstoretest.Instance, got *obtained) []string {
	t.Helper()
	target, err := url.Parse(instance.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(got.watch(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}))
	t.Cleanup(proxy.Close)
	var environ []string
	for _, pair := range instance.JobEnv(sigstoretest.Job(release.GitHubIssuer, "deploy.yml")) {
		environ = append(environ, strings.ReplaceAll(pair, instance.URL, proxy.URL))
	}
	return environ
}

// TestObtainedCredentialsAreFound holds the search to the answers that it is to read.
func TestObtainedCredentialsAreFound(t *testing.T) {
	t.Parallel()
	token, _ := json.Marshal(map[string]string{"value": "a.identity"}) // strings
	got := new(obtained)
	for _, answer := range []string{"<Credentials><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken></Credentials>",
		`{"authorizationData":[{"authorizationToken":"` + base64.StdEncoding.EncodeToString([]byte("AWS:password")) + `"}]}`, string(token)} {
		got.read([]byte(answer))
	}
	if want := []string{"secret", "session", "QVdTOnBhc3N3b3Jk", "password"}; !slices.Equal(got.keys, want) || !slices.Equal(got.tokens, []string{"a.identity", "identity"}) {
		t.Errorf("got %q and %q", got.keys, got.tokens)
	}
}
