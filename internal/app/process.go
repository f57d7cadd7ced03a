// Package app runs a verb as a program: it reads flags and INPUT_ variables into settings, runs the verb, and turns its result
// into outputs, a summary, JSON and an exit code. It is the only package that touches the process it runs in. The adapters
// of a verb are wired in a package of its own below this one, so that a program links only what its verb needs.
package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/term"
)

// Process is the operating system's view of a command, as values, so that a test can supply others.
type Process struct {
	Release string        // version of the release that the program is, such as "v1.2.3"; "" if it is none
	Program string        // program and verb, such as "onedigest deploy"; "" for a program with the verb's name
	Args    []string      // without the program's name
	Environ []string      // "NAME=value" each
	Dir     string        // working directory, absolute
	Stdout  io.Writer     // only a sink writes to it
	Stderr  io.Writer     // only a sink writes to it
	Secrets *text.Secrets // redacted everywhere, together with those of the environment; nil: a new set is made
	Now     func() time.Time
	Keyless Keyless // nil: this program has no keyless signing
	// Ask asks whoever is at the terminal, and returns the line that is typed; nil if standard input is none.
	Ask   func(question string) (string, error)
	Child []string // command that starts the command's Child, nil if none can be started
}

// childArgument is the only argument of a program that is to be the child of another run of itself.
const childArgument = "__child"

// Main runs a command in the process's own environment and exits. SIGINT and SIGTERM cancel it; a second one kills.
func Main(command Command) {
	process := CurrentProcess()
	if command.Child != nil {
		if len(process.Args) == 1 && process.Args[0] == childArgument {
			os.Exit(command.Child(os.Stdin, os.Stdout))
		}
		if program, err := os.Executable(); err == nil {
			process.Child = []string{program, childArgument}
		}
	}
	if command.Child != nil { // it links Helm and Kubernetes
		collectMoreOften(process)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	process = process.ThroughSink()
	process.askAtTerminal(os.Stdin)
	process.useTrustedPath()
	release := captureStreams(process.Stderr)
	code := command.Run(ctx, process)
	release()
	os.Exit(code)
}

// garbagePercent is how much the heap may grow between two collections, in percent: half of Go's own value. An upgrade takes 4 MiB less with it, and
// some 20 ms more of CPU time.
const garbagePercent = 50

// collectMoreOften sets the garbage collector to garbagePercent, unless the environment has set it.
func collectMoreOften(process Process) {
	if process.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// CurrentProcess returns the running process.
func CurrentProcess() Process {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return Process{Args: os.Args[1:], Environ: os.Environ(), Dir: dir, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}
}

// ThroughSink returns the process with writers that redact and sanitize what is written: the only ones that a command may use.
func (p Process) ThroughSink() Process {
	sink := newSink(p)
	p.Stdout, p.Stderr, p.Secrets = sink.stdout, sink.stderr, sink.secrets
	return p
}

// askAtTerminal lets the process ask, if a file is a terminal.
func (p *Process) askAtTerminal(input *os.File) {
	if !term.IsTerminal(int(input.Fd())) {
		return
	}
	lines := bufio.NewReader(input)
	p.Ask = func(question string) (string, error) {
		_, _ = fmt.Fprint(p.Stderr, question+": ") // whoever does not see it does not answer
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("reading the answer to %q: %w", question, err)
		}
		return strings.TrimSuffix(line, "\n"), nil
	}
}

// useTrustedPath lets this process and its children find programs outside of the work tree only: credential plugins and helpers of
// docker, git and AWS have the job's credentials.
func (p *Process) useTrustedPath() {
	path, dropped := trustedPath(*p)
	if path == p.Getenv("PATH") {
		return
	}
	for _, entry := range dropped {
		_, _ = fmt.Fprintf(p.Stderr, "%q of PATH is in the work tree and is not used\n", entry)
	}
	_ = os.Setenv("PATH", path) // a path without a NUL byte, which no variable has
	p.Environ = append(p.Environ, "PATH="+path)
}

// program returns what a user types to run a verb.
func (p Process) program(verb string) string {
	if p.Program == "" {
		return verb
	}
	return p.Program + " " + verb
}

// Getenv returns the value of an environment variable, like os.Getenv.
func (p Process) Getenv(name string) string {
	value := ""
	for _, pair := range p.Environ {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			value = pair[len(name)+1:]
		}
	}
	return value
}
