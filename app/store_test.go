package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// database starts a PostgreSQL server of its own, and returns the URL of an empty database.
func database(t *testing.T) string {
	t.Helper()
	programs := map[string]string{}
	for _, name := range []string{"initdb", "postgres"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip("NOT CHECKED: needs PostgreSQL's initdb and postgres on the PATH")
		}
		programs[name] = path
	}
	dir := t.TempDir()
	data, password := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := errors.Join(os.Mkdir(data, 0o700), os.WriteFile(password, []byte("hunter2"), 0o600)); err != nil {
		t.Fatal(err)
	}
	attributes := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 { // for whom PostgreSQL does not run
		const nobody = 65534
		attributes.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, path := range []string{data, password} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
			if err := os.Chmod(at, 0o755); err != nil { //nolint:gosec // nobody has to reach what is below
				t.Fatal(err)
			}
		}
	}
	prepare := exec.CommandContext(t.Context(), programs["initdb"], "--pgdata", data, "--username", "shop", "--pwfile", password, "--auth", "scram-sha-256", "--no-sync")
	prepare.SysProcAttr, prepare.Dir = attributes, data
	if text, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, text)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	server := exec.CommandContext(t.Context(), programs["postgres"], "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	server.SysProcAttr, server.Dir = attributes, data
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGINT) } // a fast shutdown
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() })
	url := "postgres://shop:hunter2@127.0.0.1:" + port + "/postgres?sslmode=disable"
	for range 100 {
		store := open(t, url)
		if err = store.PingContext(t.Context()); err == nil {
			return url
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal(err)
	return ""
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	store, err := openStore(func() string { return url })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

var silent = slog.New(slog.DiscardHandler)

// TestMigrate runs all steps once, whoever else runs them at the same time, and again without any effect.
func TestMigrate(t *testing.T) {
	t.Parallel()
	url := database(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := run(t.Context(), []string{"migrate"}, env(map[string]string{"DATABASE_URL": url})); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	store := open(t, url)
	var steps int
	if err := store.QueryRowContext(t.Context(), "SELECT count(*) FROM migrations").Scan(&steps); err != nil || steps != 3 {
		t.Errorf("%d steps, %v", steps, err)
	}
	handler := NewService(Config{}, Build{}, store, silent).Handler()
	post := func(body string) *httptest.ResponseRecorder {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/baskets", strings.NewReader(body)))
		return response
	}
	if response := post(`{"customer": "Ada"}`); response.Code != http.StatusCreated {
		t.Errorf("got %d %s", response.Code, response.Body)
	}
	for _, body := range []string{"", "{", "{}", `{"customer": "` + strings.Repeat("x", 201) + `"}`} {
		if response := post(body); response.Code != http.StatusBadRequest {
			t.Errorf("%.20s: got %d", body, response.Code)
		}
	}
	if err := Migrate(t.Context(), store, migrations, silent); err != nil {
		t.Error(err)
	}
	if response := ask(t, handler, "GET", "/baskets"); strings.TrimSpace(response.Body.String()) != `[{"id":1,"customer":"Ada"}]` {
		t.Errorf("got %d %s", response.Code, response.Body)
	}
}

// TestAFailedMigrationChangesNothing: neither the steps before the one that fails, nor that there was a run.
func TestAFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	store := open(t, database(t))
	steps := fstest.MapFS{"migrations/1.sql": {Data: []byte("CREATE TABLE one (id int)")}, "migrations/2.sql": {Data: []byte("CREATE TABLE two (id int); SELECT 1/0")}}
	if err := Migrate(t.Context(), store, steps, silent); err == nil || !strings.Contains(err.Error(), "migrations/2.sql: ") || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("got %v", err)
	}
	var tables int
	if err := store.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
	steps["migrations/2.sql"].Data = []byte("CREATE TABLE two (id int)")
	if err := Migrate(t.Context(), store, steps, silent); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Migrate(ctx, store, steps, silent); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestARotatedDatabaseURL: a file decides, and a new connection follows it.
func TestARotatedDatabaseURL(t *testing.T) {
	t.Parallel()
	url, dir := database(t), t.TempDir()
	put := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "DATABASE_URL"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(strings.Replace(url, "hunter2", "outdated", 1))
	config, err := LoadConfig(env(map[string]string{"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SECRETS_DIR": dir}))
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore(config.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("got %v", err)
	}
	put(url + "\n")
	if err := store.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWithoutTheDatabase: a service without a store has no baskets, and one whose database is away says so without its address.
func TestWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	if response := ask(t, NewService(Config{}, Build{}, nil, silent).Handler(), "GET", "/baskets"); response.Code != http.StatusNotFound {
		t.Errorf("got %d", response.Code)
	}
	const url = "postgres://shop:hunter2@127.0.0.1:1/shop?sslmode=disable"
	var log strings.Builder
	handler := NewService(Config{}, Build{}, open(t, url), slog.New(slog.NewJSONHandler(&log, nil))).Handler()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), method, "/baskets", strings.NewReader(`{"customer": "Ada"}`)))
		if response.Code != http.StatusServiceUnavailable || strings.Contains(response.Body.String(), "127.0.0.1") {
			t.Errorf("%s: got %d %s", method, response.Code, response.Body)
		}
	}
	if !strings.Contains(log.String(), "connection refused") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("logged: %s", &log)
	}
}

// TestCommands: what is not a command, or lacks its database, is bad input that does not show the URL.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		url  string
		want string
	}{
		"unknown":        {[]string{"serve"}, "", `["serve"]: the only command is migrate`},
		"too many":       {[]string{"migrate", "now"}, "", "the only command is migrate"},
		"no database":    {[]string{"migrate"}, "", "DATABASE_URL: is missing"},
		"no address":     {[]string{"migrate"}, "postgres://shop:hunter2@[::1/shop", "DATABASE_URL: is not of the form"},
		"another scheme": {nil, "postgres//shop:hunter2@db/shop", "DATABASE_URL: is not of the form"},
	} {
		err := run(t.Context(), test.args, env(map[string]string{"DATABASE_URL": test.url, "PORT": "1"}))
		if invalid := new(InvalidConfig); !errors.As(err, &invalid) || !strings.Contains(fmt.Sprint(err), test.want) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
