package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/term"
)

// sink is the only way to write to the process's streams: it alone has their writers. It redacts everything by one set of secrets, and sanitizes it, so that
// no text can send commands to the runner or the terminal that reads it.
type sink struct {
	secrets        *text.Secrets
	stdout, stderr *stream
}

func newSink(process Process) *sink {
	secrets := process.Secrets
	if secrets == nil {
		secrets = new(text.Secrets)
	}
	collectEnvironment(secrets, process.Environ)
	return &sink{secrets: secrets, stdout: newStream(process.Stdout, secrets), stderr: newStream(process.Stderr, secrets)}
}

// printable is a text that is redacted and sanitized, and may have been coloured since. A stream prints nothing else.
type printable string

// stream is standard output or standard error.
type stream struct {
	secrets *text.Secrets
	mu      sync.Mutex // a line is written whole
	raw     io.Writer
}

// newStream returns a stream to a writer, or the writer itself if it is a stream already.
func newStream(raw io.Writer, secrets *text.Secrets) *stream {
	switch existing, ok := raw.(*stream); {
	case ok:
		return existing
	case raw == nil:
		raw = io.Discard
	}
	return &stream{secrets: secrets, raw: raw}
}

// clean redacts and sanitizes a text of several lines.
func (s *stream) clean(untrusted string) printable {
	return printable(s.secrets.Clean(untrusted))
}

func (s *stream) print(clean printable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.raw, string(clean)) // a closed log is no reason to fail
}

func (s *stream) println(clean printable) { s.print(clean + "\n") }

// Write cleans and prints a text. It is for libraries that want an io.Writer; a line should be written whole.
func (s *stream) Write(untrusted []byte) (int, error) {
	s.print(s.clean(string(untrusted)))
	return len(untrusted), nil
}

// printJSON prints a value as indented JSON, with secrets redacted.
func (s *stream) printJSON(value any) error {
	document, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = io.WriteString(s.raw, s.secrets.RedactJSON(string(document))+"\n")
	return err
}

// terminal returns the stream's file if that is a terminal, nil otherwise.
func (s *stream) terminal() *os.File {
	if file, ok := s.raw.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// runner returns the runner that reads the stream. Its workflow commands are written unchanged; the runner redacts and sanitizes their values itself.
func (s *stream) runner(getenv func(string) string) *github.Runner {
	return github.New(github.Options{Getenv: getenv, Stdout: commands{s}, Secrets: s.secrets})
}

// commands writes a runner's commands to a stream.
type commands struct{ stream *stream }

func (c commands) Write(command []byte) (int, error) {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	return c.stream.raw.Write(command)
}

// collectEnvironment adds the values of environment variables that are credentials, and the passwords in variables that are URLs.
func collectEnvironment(secrets *text.Secrets, environ []string) {
	for name, value := range environment(environ) {
		switch {
		case strings.HasPrefix(name, inputPrefix): // settings, which are declared as secret or not
		case name == "PWD", name == "OLDPWD": // directories
		case text.IsSecret(value):
			secrets.Add(value)
		case strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_URL") || strings.HasSuffix(name, "_URI") || strings.HasSuffix(name, "_PATH"):
			secrets.Add(text.PasswordOf(value))
		case text.NamesSecret(name):
			secrets.Add(value)
		default:
			secrets.Add(text.PasswordOf(value))
		}
	}
}

// nameSettings are the settings whose values are names that the caller gives, in which nothing is redacted.
var nameSettings = []string{"release", "namespace", "environment", "from", "to", "cluster"}

// collectSettings adds the secrets among a verb's inputs, and marks the names and images that the run is about as public.
func collectSettings(secrets *text.Secrets, set *setting.Set) {
	inputs := set.Inputs()
	for _, declared := range set.All() {
		for _, given := range inputs[declared.Name].Texts {
			switch {
			case declared.Secret && declared.Many:
				collectAssignment(secrets, given)
			case declared.Secret:
				secrets.Add(given)
			default:
				secrets.Add(text.PasswordOf(given))
				if slices.Contains(nameSettings, declared.Name) {
					secrets.MarkPublicIdentities(given)
				}
				secrets.MarkPublic(given)
				if _, image, named := strings.Cut(given, "="); named && strings.HasPrefix(declared.Name, "image") { // web=REPOSITORY@DIGEST
					given = image
					secrets.MarkPublic(image)
				}
				repository, digest, _ := strings.Cut(given, "@")
				secrets.MarkPublic(repository, digest)
			}
		}
	}
}

// collectAssignment adds the value of NAME=VALUE: as a secret if the name says so (DB_PASSWORD), else as a possible secret.
func collectAssignment(secrets *text.Secrets, assignment string) {
	name, value, _ := strings.Cut(assignment, "=")
	if text.NamesSecret(name) {
		secrets.Add(value, strings.Trim(value, `"`))
		return
	}
	secrets.AddPossible(value, strings.Trim(value, `"`))
}

// CollectAssignments adds the values of assignments NAME=VALUE to the secrets, which no output shows.
func (r *RunContext) CollectAssignments(assignments ...string) {
	for _, one := range assignments {
		collectAssignment(r.Secrets, one)
	}
}
