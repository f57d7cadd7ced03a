package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestASchemaIsExpandedAndContracted takes the sample and its PostgreSQL over the commits of docs/migrations.md, under load: from the first schema to the expanded one, back
// and forth again, and to the contracted one, from which there is no way back.
func TestASchemaIsExpandedAndContracted(t *testing.T) {
	onNode(t)
	beside(t)
	const namespace = "migrated"
	url := startPostgres(t)
	tree := newCheckout(t)
	put := func(name string) string { return filepath.Join(tree.dir, "app", "migrations", name) }
	keep := map[string][]byte{}
	for _, step := range []string{"2-expand.sql", "3-contract.sql"} {
		text, err := os.ReadFile(put(step))
		if err != nil {
			t.Fatal(err)
		}
		if keep[step] = text; os.Remove(put(step)) != nil {
			t.Fatal(step)
		}
	}
	tree.edit("app/store.go", "`SELECT id, customer FROM", "`SELECT id, owner FROM")
	tree.edit("app/store.go", "`INSERT INTO baskets (customer)", "`INSERT INTO baskets (owner)")
	tree.commit("the first schema")
	first := tree.build()
	tree.edit("app/store.go", "`SELECT id, owner FROM", "`SELECT id, customer FROM")
	tree.edit("app/store.go", "`INSERT INTO baskets (owner)", "`INSERT INTO baskets (customer)")
	tree.write("app/migrations/2-expand.sql", string(keep["2-expand.sql"]))
	tree.commit("expand")
	expanded := tree.build()
	tree.write("app/migrations/3-contract.sql", string(keep["3-contract.sql"]))
	contracting := tree.commit("contract")
	contracted := tree.build()

	kube := client(t)
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	if _, err := kube.CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: labels}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: "shop-database"}, StringData: map[string]string{"DATABASE_URL": url}}
	if _, err := kube.CoreV1().Secrets(namespace).Create(t.Context(), secret, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deploy := func(image string, outcome release.Outcome, args ...string) string {
		t.Helper()
		result, got := tree.deploy(t.Context(), namespace, image, append([]string{"--values", "app/values-database.yaml", "--timeout", "5m"}, args...)...)
		if got.expect(t, 0); result.Outcome != outcome {
			t.Fatalf("got outcome %q, want %q", result.Outcome, outcome)
		}
		return result.URL
	}
	migrated := func(want ...string) {
		t.Helper()
		if got := migrationLog(t, namespace); !slices.Equal(got, want) {
			t.Errorf("the hook logged %q, want %q", got, want)
		}
	}

	served := deploy(first, release.Created)
	migrated("migrated 1-baskets.sql")
	load := startShopping(t, served)
	deploy(expanded, release.Changed)
	migrated("already migrated 1-baskets.sql", "migrated 2-expand.sql")
	deploy(expanded, release.Changed, "--set", "config.GREETING=Again") // the hook runs again
	migrated("already migrated 1-baskets.sql", "already migrated 2-expand.sql")
	deploy(first, release.Changed, "--allow-rollback") // harmless: its column is still there
	migrated("already migrated 1-baskets.sql")
	deploy(expanded, release.Changed, "--unpin")
	load.check(t)

	// The contracting deploy fails after its hook has run. Nothing is rolled back, and the pods of the commit before work on.
	before := readReleaseState(t, namespace).revision
	fails := fmt.Sprintf(`extraInitContainers=[{"name":"fails","image":%q,"args":["no-command"]}]`, contracted)
	result, got := tree.deploy(t.Context(), namespace, contracted, "--values", "app/values-database.yaml", "--set-json", "migration.forwardOnly=true", "--set-json", fails)
	got.expect(t, 1, "OD-205", "a failed rollout could not be rolled back: Job/shop-migration: the hook is forward-only", fmt.Sprintf("has run in revision %d", before+1), "the only command is migrate")
	if result.Outcome == release.RolledBack || readReleaseState(t, namespace).revision != before+1 {
		t.Errorf("got outcome %q: %s", result.Outcome, readReleaseState(t, namespace))
	}
	migrated("already migrated 1-baskets.sql", "already migrated 2-expand.sql", "migrated 3-contract.sql")
	load.check(t)

	deploy(contracted, release.Changed) // the next deploy repairs it
	migrated("already migrated 1-baskets.sql", "already migrated 2-expand.sql", "already migrated 3-contract.sql")
	if commit := servedCommit(t, served); commit != contracting {
		t.Errorf("commit %s answers, want %s", commit, contracting)
	}
	load.end(t)
}

// migrationLog returns what the last migration did with each step.
func migrationLog(t *testing.T, namespace string) (lines []string) {
	t.Helper()
	pods := client(t).CoreV1().Pods(namespace)
	list, err := pods.List(t.Context(), meta.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=shop-migration"})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d pods of the migration, %v", len(list.Items), err)
	}
	text, err := pods.GetLogs(list.Items[0].Name, &core.PodLogOptions{}).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var entry struct{ Msg, Step string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, entry.Msg+" "+strings.TrimPrefix(entry.Step, "migrations/"))
	}
	return lines
}

// shopping adds baskets and reads them, one after the other, until it is ended.
type shopping struct {
	url    string
	client *http.Client // with a connection for each request, as POST is not repeated if one was closed meanwhile
	added  atomic.Int64
	failed atomic.Pointer[string] // the first failure
	stop   context.CancelFunc
	done   chan struct{}
}

func startShopping(t *testing.T, url string) *shopping {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &shopping{url: url, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			if err := s.shop(); err != nil {
				text := fmt.Sprintf("basket %d: %v", s.added.Load()+1, err)
				s.failed.CompareAndSwap(nil, &text)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(stop)
	return s
}

// shop adds a basket, which must be the newest afterwards.
func (s *shopping) shop() error {
	customer := fmt.Sprintf("customer %d", s.added.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if text, err := s.ask(ctx, http.MethodPost, fmt.Sprintf(`{"customer": %q}`, customer), http.StatusCreated); err != nil {
		return fmt.Errorf("adding: %w: %s", err, text)
	}
	text, err := s.ask(ctx, http.MethodGet, "", http.StatusOK)
	if err != nil {
		return fmt.Errorf("reading: %w: %s", err, text)
	}
	var baskets []struct{ Customer string }
	if err := json.Unmarshal(text, &baskets); err != nil || len(baskets) == 0 || baskets[0].Customer != customer {
		return fmt.Errorf("reading: %w: the newest is not of %q: %.200s", err, customer, text)
	}
	return nil
}

func (s *shopping) ask(ctx context.Context, method, body string, status int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+"/baskets", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = errors.New(response.Status)
	}
	return text, err
}

// check wants baskets to have been added, and none to have failed.
func (s *shopping) check(t *testing.T) {
	t.Helper()
	if failed := s.failed.Load(); failed != nil {
		t.Fatal(*failed)
	}
	if added := s.added.Load(); added < 10 {
		t.Fatalf("only %d baskets were added", added)
	}
}

func (s *shopping) end(t *testing.T) {
	t.Helper()
	s.stop()
	<-s.done
	s.check(t)
	t.Logf("%d baskets were added and read", s.added.Load())
}

// startPostgres runs a PostgreSQL server on the node, outside of its pods as a managed database is, and returns the URL that leads pods to it.
func startPostgres(t *testing.T) string {
	t.Helper()
	programs := map[string]string{}
	for _, name := range []string{"initdb", "postgres", "nsenter"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip("NOT CHECKED: needs PostgreSQL's initdb and postgres, and nsenter, on the PATH")
		}
		programs[name] = path
	}
	const nobody = 65534 // PostgreSQL does not run as root
	dir, err := os.MkdirTemp("/var/lib", "onedigest-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, password, log := filepath.Join(dir, "data"), filepath.Join(dir, "password"), filepath.Join(dir, "log")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(data, 0o700), os.Chown(data, nobody, nobody), os.WriteFile(password, []byte("canary-password"), 0o600), os.Chown(password, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	prepare := exec.CommandContext(t.Context(), programs["initdb"], "--pgdata", data, "--username", "shop", "--pwfile", password, "--auth", "scram-sha-256", "--no-sync")
	prepare.SysProcAttr, prepare.Dir = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, data
	if text, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, text)
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte("host all all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	address := net.JoinHostPort(nodeAddress(t), "5432")
	server := exec.CommandContext(t.Context(), programs["nsenter"], "--net="+nodeNetwork(t), "--setuid", strconv.Itoa(nobody), "--setgid", strconv.Itoa(nobody), "--",
		programs["postgres"], "-D", data, "-p", "5432", "-c", "listen_addresses="+nodeAddress(t), "-c", "unix_socket_directories=", "-c", "fsync=off")
	server.Dir, server.Stderr = data, file
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGINT) } // a fast shutdown
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() })
	await(t, "PostgreSQL", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "ready to accept connections")
	})
	return fmt.Sprintf("postgres://shop:canary-password@%s/postgres?sslmode=disable", address)
}

// nodeNetwork returns the path of the network namespace in which the node runs.
func nodeNetwork(t *testing.T) string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err == nil && strings.HasSuffix(string(text), "sandbox\x00node\x00--dir\x00"+site.node+"\x00") {
			return filepath.Join(filepath.Dir(line), "ns", "net")
		}
	}
	t.Fatalf("no process runs the node of %s", site.node)
	return ""
}

// nodeAddress returns the node's address, at which pods reach what runs on the node.
func nodeAddress(t *testing.T) string {
	t.Helper()
	nodes, err := client(t).CoreV1().Nodes().List(t.Context(), meta.ListOptions{})
	if err != nil || len(nodes.Items) != 1 {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	for _, address := range nodes.Items[0].Status.Addresses {
		if address.Type == core.NodeInternalIP {
			return address.Address
		}
	}
	t.Fatal("the node has no internal address")
	return ""
}
