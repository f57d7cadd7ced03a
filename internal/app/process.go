// Package entry wires the verbs: flags and INPUT_ variables become settings, adapters are handed to the verb, and its
// result becomes outputs, a summary, JSON and an exit code. It is the only package that touches the process it runs in.
package app

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Process is what a command is given by the operating system, as values, so that a test can give others.
type Process struct {
	Args    []string // without the program's name
	Environ []string // "NAME=value" each
	Dir     string   // working directory, absolute
	Stdout  io.Writer
	Stderr  io.Writer
	Now     func() time.Time
}

// Command is one verb, run to its exit code.
type Command func(ctx context.Context, process Process) int

// Main runs a command in the process's own environment and exits. SIGINT and SIGTERM cancel it; a second one kills.
func Main(command Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(command(ctx, Own()))
}

// Own is the process that is running.
func Own() Process {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return Process{Args: os.Args[1:], Environ: os.Environ(), Dir: dir, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}
}

// Getenv looks a variable up as os.Getenv does.
func (p Process) Getenv(name string) string {
	value := ""
	for _, pair := range p.Environ {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			value = pair[len(name)+1:]
		}
	}
	return value
}
