// Package githubtest is a stand-in for GitHub's REST API on loopback. It knows the requests of the pages that it names, and fails the test at any other.
package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Repository is the repository that the server has.
const Repository = "octo/shop"

// Token is the token that the server wants.
const Token = "canary-github-token"

// Comment is a comment of a pull request.
type Comment struct {
	ID   int64
	Pull int
	Body string
	By   string // "github-actions[bot]", or a user's name
}

// Deployment is a deployment with its statuses.
type Deployment struct {
	ID       int64
	Request  map[string]any
	Statuses []map[string]any
}

// Server is the stand-in.
type Server struct {
	URL string // as in GITHUB_API_URL

	t           *testing.T
	mu          sync.Mutex
	next        int64
	user        string // of the token; "" for the token of a job
	denied      string // methods that the token may not use: "POST PATCH"
	comments    []*Comment
	deployments []*Deployment
	merged      map[string]int
	artifacts   []map[string]string
}

// Start starts a server for the test.
func Start(t *testing.T) *Server {
	t.Helper()
	s := &Server{t: t, next: 100}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Environ returns the variables of a job of the repository.
func (s *Server) Environ() []string {
	return []string{"GITHUB_API_URL=" + s.URL, "GITHUB_REPOSITORY=" + Repository, "GITHUB_TOKEN=" + Token}
}

// Deny makes the server refuse methods, as for a token without the permission.
func (s *Server) Deny(methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = strings.Join(methods, " ")
}

// SignIn makes the token one of a user.
func (s *Server) SignIn(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = user
}

// Add adds comments that others wrote.
func (s *Server) Add(comments ...Comment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range comments {
		s.next++
		one.ID = s.next
		s.comments = append(s.comments, &one)
	}
}

// Merge makes a commit the one as which a pull request was merged.
func (s *Server) Merge(commit string, pull int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.merged == nil {
		s.merged = map[string]int{}
	}
	s.merged[commit] = pull
}

// Comments returns the comments, oldest first.
func (s *Server) Comments() (all []Comment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.comments {
		all = append(all, *one)
	}
	return all
}

// Deployments returns the deployments, oldest first.
func (s *Server) Deployments() (all []Deployment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.deployments {
		all = append(all, *one)
	}
	return all
}

// Artifacts returns the deployment records of artifacts, oldest first. A record of the same deployment is replaced in its place.
func (s *Server) Artifacts() []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.artifacts)
}

// route is a request that the server knows.
type route struct {
	method  string
	path    *regexp.Regexp
	respond func(s *Server, w http.ResponseWriter, r *http.Request, id int64)
}

var routes = []route{
	// https://docs.github.com/en/rest/issues/comments#list-issue-comments
	{http.MethodGet, pattern(`/repos/octo/shop/issues/(\d+)/comments`), (*Server).listComments},
	// https://docs.github.com/en/rest/issues/comments#create-an-issue-comment
	{http.MethodPost, pattern(`/repos/octo/shop/issues/(\d+)/comments`), (*Server).createComment},
	// https://docs.github.com/en/rest/issues/comments#update-an-issue-comment
	{http.MethodPatch, pattern(`/repos/octo/shop/issues/comments/(\d+)`), (*Server).updateComment},
	// https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit
	{http.MethodGet, pattern(`/repos/octo/shop/commits/[0-9a-f]{40}/pulls()`), (*Server).listPulls},
	// https://docs.github.com/en/rest/users/users#get-the-authenticated-user
	{http.MethodGet, pattern(`/user()`), (*Server).getUser},
	// https://docs.github.com/en/rest/deployments/deployments#create-a-deployment
	{http.MethodPost, pattern(`/repos/octo/shop/deployments()`), (*Server).createDeployment},
	// https://docs.github.com/en/rest/deployments/deployments#list-deployments
	{http.MethodGet, pattern(`/repos/octo/shop/deployments()`), (*Server).listDeployments},
	// https://docs.github.com/en/rest/orgs/artifact-metadata#create-an-artifact-deployment-record
	{http.MethodPost, pattern(`/orgs/octo/artifacts/metadata/deployment-record()`), (*Server).recordArtifact},
	// https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
	{http.MethodPost, pattern(`/repos/octo/shop/deployments/(\d+)/statuses`), (*Server).createStatus},
}

func pattern(path string) *regexp.Regexp { return regexp.MustCompile("^" + path + "$") }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, want := range map[string]string{"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "Authorization": "Bearer " + Token} {
		if got := r.Header.Get(name); got != want {
			s.t.Errorf("%s %s: header %s is %q, want %q", r.Method, r.URL.Path, name, got, want)
		}
	}
	for _, known := range routes {
		match := known.path.FindStringSubmatch(r.URL.Path)
		if known.method != r.Method || match == nil {
			continue
		}
		if strings.Contains(s.denied, r.Method) {
			respond(w, http.StatusForbidden, map[string]any{"message": "Resource not accessible by integration"})
			return
		}
		id, _ := strconv.ParseInt(match[1], 10, 64)
		known.respond(s, w, r, id)
		return
	}
	s.t.Errorf("unknown request %s %s", r.Method, r.URL)
	respond(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// read reads the body of a request; its fields are those that the page lists.
func (s *Server) read(r *http.Request, allowed ...string) map[string]any {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	for name := range body {
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+name+" ") {
			s.t.Errorf("%s %s: field %q", r.Method, r.URL.Path, name)
		}
	}
	return body
}

func (c *Comment) shown() map[string]any {
	kind := "User"
	if strings.HasSuffix(c.By, "[bot]") {
		kind = "Bot"
	}
	return map[string]any{"id": c.ID, "body": c.Body, "user": map[string]any{"login": c.By, "type": kind}}
}

func (s *Server) listComments(w http.ResponseWriter, r *http.Request, pull int64) {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if size < 1 || size > 100 || page < 1 {
		s.t.Errorf("per_page %d, page %d", size, page)
	}
	all := []map[string]any{}
	for _, one := range s.comments {
		if one.Pull == int(pull) {
			all = append(all, one.shown())
		}
	}
	from := min((page-1)*size, len(all))
	respond(w, http.StatusOK, all[from:min(from+size, len(all))])
}

func (s *Server) listPulls(w http.ResponseWriter, r *http.Request, _ int64) {
	commit := strings.Split(r.URL.Path, "/")[5]
	all := []map[string]any{}
	if pull := s.merged[commit]; pull != 0 {
		all = append(all, map[string]any{"number": pull + 1, "merge_commit_sha": nil}, map[string]any{"number": pull, "merge_commit_sha": commit})
	}
	respond(w, http.StatusOK, all)
}

// body reads the body of a comment, which may not be longer than 65536 characters.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (string, bool) {
	body := fmt.Sprint(s.read(r, "body")["body"])
	if len([]rune(body)) > 65536 {
		respond(w, http.StatusUnprocessableEntity, map[string]any{"message": "body is too long"})
		return "", false
	}
	return body, true
}

func (s *Server) createComment(w http.ResponseWriter, r *http.Request, pull int64) {
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	s.next++
	by := s.user
	if by == "" {
		by = "github-actions[bot]"
	}
	created := &Comment{ID: s.next, Pull: int(pull), Body: body, By: by}
	s.comments = append(s.comments, created)
	respond(w, http.StatusCreated, created.shown())
}

func (s *Server) updateComment(w http.ResponseWriter, r *http.Request, id int64) {
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	for _, one := range s.comments {
		if one.ID == id {
			one.Body = body
			respond(w, http.StatusOK, one.shown())
			return
		}
	}
	respond(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
}

func (s *Server) getUser(w http.ResponseWriter, _ *http.Request, _ int64) {
	if s.user == "" {
		respond(w, http.StatusForbidden, map[string]any{"message": "Resource not accessible by integration"})
		return
	}
	respond(w, http.StatusOK, map[string]any{"login": s.user, "type": "User"})
}

func (s *Server) createDeployment(w http.ResponseWriter, r *http.Request, _ int64) {
	body := s.read(r, "ref", "task", "auto_merge", "required_contexts", "payload", "environment", "description", "transient_environment", "production_environment")
	if body["ref"] == "" || body["ref"] == nil {
		respond(w, http.StatusUnprocessableEntity, map[string]any{"message": "ref is missing"})
		return
	}
	s.next++
	created := &Deployment{ID: s.next, Request: body}
	s.deployments = append(s.deployments, created)
	respond(w, http.StatusCreated, map[string]any{"id": created.ID, "environment": body["environment"]})
}

func (s *Server) listDeployments(w http.ResponseWriter, r *http.Request, _ int64) {
	all := []map[string]any{}
	query := r.URL.Query()
	for _, one := range slices.Backward(s.deployments) {
		if environment, sha := query.Get("environment"), query.Get("sha"); (environment == "" || one.Request["environment"] == environment) && (sha == "" || one.Request["ref"] == sha) {
			all = append(all, map[string]any{"id": one.ID, "environment": one.Request["environment"], "sha": one.Request["ref"], "payload": one.Request["payload"]})
		}
	}
	respond(w, http.StatusOK, all)
}

func (s *Server) recordArtifact(w http.ResponseWriter, r *http.Request, _ int64) {
	record := map[string]string{}
	for name, value := range s.read(r, "name", "digest", "version", "status", "logical_environment", "physical_environment", "cluster", "deployment_name", "tags", "runtime_risks", "github_repository") {
		record[name] = fmt.Sprint(value)
	}
	for _, required := range []string{"name", "digest", "status", "logical_environment", "deployment_name"} {
		if record[required] == "" || required == "status" && record[required] != "deployed" && record[required] != "decommissioned" {
			respond(w, http.StatusUnprocessableEntity, map[string]any{"message": required + " is missing or invalid"})
			return
		}
	}
	at := slices.IndexFunc(s.artifacts, func(other map[string]string) bool {
		for _, key := range []string{"logical_environment", "physical_environment", "cluster", "deployment_name"} {
			if other[key] != record[key] {
				return false
			}
		}
		return true
	})
	if at < 0 {
		s.artifacts = append(s.artifacts, record)
	} else {
		s.artifacts[at] = record
	}
	respond(w, http.StatusOK, map[string]any{"total_count": 1, "deployment_records": []map[string]string{record}})
}

// states are those that a status may have.
const states = " error failure inactive in_progress queued pending success "

func (s *Server) createStatus(w http.ResponseWriter, r *http.Request, id int64) {
	body := s.read(r, "state", "target_url", "log_url", "description", "environment", "environment_url", "auto_inactive")
	if !strings.Contains(states, fmt.Sprintf(" %s ", body["state"])) || len([]rune(fmt.Sprint(body["description"]))) > 140 {
		respond(w, http.StatusUnprocessableEntity, map[string]any{"message": "invalid"})
		return
	}
	for _, one := range s.deployments {
		if one.ID == id {
			one.Statuses = append(one.Statuses, body)
			respond(w, http.StatusCreated, map[string]any{"id": id, "state": body["state"]})
			return
		}
	}
	respond(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
}
