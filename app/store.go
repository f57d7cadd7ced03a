package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/lib/pq"
)

// basket is a row of the table baskets.
type basket struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
}

// The queries are those of the schema to which migrations leads.
const (
	selectBaskets = `SELECT id, customer FROM baskets ORDER BY id DESC LIMIT 100`
	insertBasket  = `INSERT INTO baskets (customer) VALUES ($1) RETURNING id`
)

// migrations are the steps of the schema, in the order of their names. A step that a database has had is never changed: docs/migrations.md.
//
//go:embed migrations/*.sql
var migrations embed.FS

// openStore returns the database of a URL, which is asked for at each connection, since its password may change. It connects when it is first used. No error holds the
// URL.
func openStore(url func() string) (*sql.DB, error) {
	connector := connector{url}
	if _, err := connector.now(); err != nil {
		return nil, err
	}
	store := sql.OpenDB(connector)
	store.SetMaxOpenConns(4)
	store.SetConnMaxLifetime(5 * time.Minute)
	return store, nil
}

// connector connects to the database whose URL is the one of that moment.
type connector struct{ url func() string }

func (c connector) now() (driver.Connector, error) {
	found, err := pq.NewConnector(c.url())
	if err != nil {
		return nil, &InvalidConfig{Problems: []string{"DATABASE_URL: is not of the form postgres://USER:PASSWORD@HOST/DATABASE"}}
	}
	return found, nil
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	now, err := c.now()
	if err != nil {
		return nil, err
	}
	return now.Connect(ctx)
}

func (c connector) Driver() driver.Driver { return &pq.Driver{} }

// migrationLock is the key of the lock that one migration holds at a time: a number that nothing else in the database uses.
const migrationLock = 1

// Migrate runs the steps that the database has not had. It is safe to run again, after a run that was killed, and twice at once: one
// transaction holds the lock, and records each step together with its changes.
func Migrate(ctx context.Context, store *sql.DB, steps fs.FS, log *slog.Logger) error {
	names, err := fs.Glob(steps, "migrations/*.sql")
	if err != nil {
		return err
	}
	transaction, err := store.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("connecting to the database: %w", err)
	}
	defer func() { _ = transaction.Rollback() }() // does nothing after the commit
	for _, statement := range []string{
		fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrationLock),
		"SET LOCAL lock_timeout = '5s'", // a step that waits for a long query would keep all others waiting behind it
		"CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())",
	} {
		if _, err := transaction.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("preparing the migration: %w", err)
		}
	}
	for _, name := range names {
		if err := migrateStep(ctx, transaction, steps, name, log); err != nil {
			return fmt.Errorf("%s: %w; the database is unchanged", name, err)
		}
	}
	return transaction.Commit()
}

// migrateStep runs a step, unless the database has had it.
func migrateStep(ctx context.Context, transaction *sql.Tx, steps fs.FS, name string, log *slog.Logger) error {
	statements, err := fs.ReadFile(steps, name)
	if err != nil {
		return err
	}
	recorded, err := transaction.ExecContext(ctx, "INSERT INTO migrations (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
	if err != nil {
		return err
	}
	if isNew, err := recorded.RowsAffected(); err != nil || isNew == 0 {
		log.Info("already migrated", "step", name)
		return err
	}
	if _, err := transaction.ExecContext(ctx, string(statements)); err != nil {
		return err
	}
	log.Info("migrated", "step", name)
	return nil
}

// listBaskets serves the newest hundred baskets.
func (s *Service) listBaskets(w http.ResponseWriter, r *http.Request) {
	found := []basket{}
	rows, err := s.store.QueryContext(r.Context(), selectBaskets)
	if err != nil {
		s.storeFailed(w, err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var one basket
		if err := rows.Scan(&one.ID, &one.Customer); err != nil {
			s.storeFailed(w, err)
			return
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		s.storeFailed(w, err)
		return
	}
	s.json(w, http.StatusOK, found)
}

// addBasket adds the basket of a request.
func (s *Service) addBasket(w http.ResponseWriter, r *http.Request) {
	var added basket
	if err := json.NewDecoder(r.Body).Decode(&added); err != nil || added.Customer == "" || len(added.Customer) > 200 {
		s.json(w, http.StatusBadRequest, map[string]string{"error": `want {"customer": "…"}, of at most 200 bytes`})
		return
	}
	if err := s.store.QueryRowContext(r.Context(), insertBasket, added.Customer).Scan(&added.ID); err != nil {
		s.storeFailed(w, err)
		return
	}
	s.json(w, http.StatusCreated, added)
}

// storeFailed logs an error of the database, and answers 503 without its details.
func (s *Service) storeFailed(w http.ResponseWriter, err error) {
	s.log.Error("asking the database", "error", err)
	s.json(w, http.StatusServiceUnavailable, map[string]string{"error": "the database does not answer"})
}
