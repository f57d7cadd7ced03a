// Package renderer renders a chart's templates in a child process with limits, because a template may use unlimited memory and
// time, and cannot be stopped inside this process. The child has no credentials, no environment and no cluster: this process
// answers its lookups.
package renderer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/client-go/rest"
)

// Limits of rendering one chart. Helm's record of a release is at most 1 MiB when compressed, which a chart of 5,000 objects is below.
const (
	maxMemory   = 256 << 20       // bytes of the child's heap
	maxRendered = 16 << 20        // bytes of all rendered templates together
	maxTime     = 2 * time.Minute // lookups included
	maxLookups  = 10_000
	maxStderr   = 4096 // bytes of the child's error output that are looked at
)

// Renderer renders charts. The zero value renders in this process, where nothing but the end of the context stops a template.
type Renderer struct {
	Command []string // starts a program that calls Serve
	ready   *waiting // nil: each rendering starts its child
	// Limits that are not the default ones, for tests.
	memory uint64
	time   time.Duration
}

// Render renders the templates of a chart and its dependencies, as Helm's engine does. config is the cluster that lookups ask; if
// it is nil, they find nothing. The error is a *release.InputError if the chart exceeds a limit or is not rendered before the context's
// deadline, the context's error if the context is cancelled, and otherwise that of Helm's engine.
func (r Renderer) Render(ctx context.Context, config *rest.Config, chart *helmchart.Chart, values chartutil.Values) (map[string]string, error) {
	if path := garbledValue("", values["Values"]); path != "" {
		return nil, refuse(chart, fmt.Sprintf("value %s is text that is not UTF-8", text.Line(path, text.NoLimit)), "convert it, or give bytes in base64, which a template decodes by b64dec")
	}
	began := time.Now()
	limit := r.time
	if limit == 0 {
		limit = maxTime
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var (
		files map[string]string
		err   error
	)
	if len(r.Command) == 0 {
		files, err = renderHere(bounded, config, chart, values)
	} else {
		files, err = r.renderInChild(bounded, config, chart, values)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case bounded.Err() != nil:
		return nil, refuse(chart, fmt.Sprintf("its templates have not ended after %s", text.Duration(time.Since(began).Round(time.Millisecond))), "look for a loop over a large range; if the cluster answers lookups slowly, give more --timeout")
	}
	return files, err
}

// refuse returns the error for a chart beyond a limit.
func refuse(chart *helmchart.Chart, what, do string) error {
	return release.BadInput(fmt.Sprintf("chart %q", chart.Name()), what, do)
}

// renderHere renders in this process. If the context ends, the rendering continues in the background, and its result is dropped.
func renderHere(ctx context.Context, config *rest.Config, chart *helmchart.Chart, values chartutil.Values) (map[string]string, error) {
	type result struct {
		files map[string]string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		renders := engine.Engine{}
		if config != nil {
			renders = engine.New(config)
		}
		files, err := renders.Render(chart, values)
		if garbled := firstInvalidUTF8(files); err == nil && garbled != "" {
			files, err = nil, errors.New(garbledFile(garbled))
		}
		done <- result{files, err}
	}()
	select {
	case rendered := <-done:
		return rendered.files, rendered.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renderInChild renders in a child process, and answers its lookups.
func (r Renderer) renderInChild(ctx context.Context, config *rest.Config, chart *helmchart.Chart, values chartutil.Values) (map[string]string, error) {
	asked, err := newRequest(chart, values)
	if err != nil {
		return nil, err
	}
	asked.Memory, asked.Lookups = r.memory, config != nil
	if asked.Memory == 0 {
		asked.Memory = maxMemory
	}
	if early, err := r.ready.take(); early != nil && err == nil {
		files, err := r.renderBy(ctx, early, config, chart, asked)
		if died := new(diedError); !errors.As(err, &died) {
			return files, err
		} // it may have died while it waited for work
	}
	child, err := start(r.Command)
	if err != nil {
		return nil, fault(err)
	}
	return r.renderBy(ctx, child, config, chart, asked)
}

// diedError says how a child ended that has neither rendered nor reached a limit.
type diedError struct{ error }

func (e *diedError) Unwrap() error { return e.error }

// renderBy renders in a child process that has been started, and answers its lookups. The error is a *diedError if the child ended by itself or was killed by somebody else.
func (r Renderer) renderBy(ctx context.Context, child *childProcess, config *rest.Config, chart *helmchart.Chart, asked request) (map[string]string, error) {
	stop := context.AfterFunc(ctx, child.kill)
	defer stop()
	answered, exchangeErr := exchange(child.in, child.out, asked, config)
	closeErr := child.in.Close()
	waitErr := child.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answered != nil && answered.Failure != "":
		return nil, errors.New(answered.Failure)
	case answered != nil && !answered.TooLarge:
		return answered.Files, nil
	case answered != nil:
		return nil, refuse(chart, fmt.Sprintf("its templates render more than %d MiB", maxRendered>>20), "deploy it in parts, or take large content out of it")
	case reachedLimit(waitErr, child.stderr.String()):
		return nil, refuse(chart, fmt.Sprintf("its templates need more than %d MiB of memory", asked.Memory>>20), "look for repeat, until or a loop with a large number, and for values that grow with each step")
	}
	if wasKilled(waitErr) {
		return nil, &diedError{release.NewFault("deploy", "give the job more memory, and try again", fmt.Errorf("it was killed, which the system does if it has no memory left: %w", waitErr), rendering)}
	}
	return nil, &diedError{fault(errors.Join(exchangeErr, closeErr, waitErr, errors.New(text.Line(reason(child.stderr.String()), maxStderr))))}
}

// wasKilled reports whether a child was killed by SIGKILL, which neither it nor Go's runtime sends.
func wasKilled(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() < 0 && exit.String() == "signal: killed"
}

// rendering is what a fault of a child was about.
const rendering = "rendering the chart in a process of its own"

func fault(err error) error {
	return release.NewFault("deploy", "try again; if this chart always fails like this, report it", err, rendering)
}

// exchange sends the request, answers the lookups and returns the result.
func exchange(in io.Writer, out io.Reader, asked request, config *rest.Config) (*answer, error) {
	encoder, decoder := json.NewEncoder(in), json.NewDecoder(io.LimitReader(out, 8*maxRendered)) // JSON escapes a byte by up to six
	if err := encoder.Encode(asked); err != nil {
		return nil, err
	}
	for range maxLookups {
		var got answer
		if err := decoder.Decode(&got); err != nil {
			return nil, err
		}
		if got.Lookup == nil {
			return &got, nil
		}
		if err := encoder.Encode(lookUp(config, *got.Lookup)); err != nil {
			return nil, err
		}
	}
	return &answer{Failure: fmt.Sprintf("the templates look up more than %d objects", maxLookups)}, nil
}

// lookUp answers a lookup as Helm does.
func lookUp(config *rest.Config, asked query) found {
	if config == nil {
		return found{}
	}
	content, err := engine.NewLookupFunction(config)(asked.APIVersion, asked.Kind, asked.Namespace, asked.Name)
	if err != nil {
		return found{Failure: err.Error()}
	}
	encoded, err := json.Marshal(content)
	if err != nil {
		return found{Failure: err.Error()}
	}
	return found{Content: encoded}
}

// reachedLimit reports whether the child ended because of its limits: its watch found too large a heap, or the runtime says that the
// system gave it no more memory, or that its stack was full.
func reachedLimit(err error, stderr string) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() == exitBroken {
		return false
	}
	return exit.ExitCode() == exitMemory || outOfMemory.MatchString(stderr)
}

// outOfMemory matches the Go runtime's messages about memory that it cannot have, and not those about an invalid address. Outside of Go's
// own code it then dies of SIGSEGV. The race detector, in a program that is built with it, has a message of its own. Source:
// runtime/malloc.go, runtime/stack.go, runtime/os_linux.go, runtime/cgo, compiler-rt's sanitizer_common.
var outOfMemory = regexp.MustCompile(`(?m)^SIGSEGV: |Sanitizer failed to allocate|(out of|allocate|summary|metadata) memory|cannot map pages|stack (overflow|exceeds)|failed to create new OS thread|pthread_create failed`)

// reason returns the line in which the Go runtime says why it ended the process; if there is none, the last line of stderr.
func reason(stderr string) string {
	stderr = strings.TrimSpace(stderr)
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "SIG") {
			return line
		}
	}
	return stderr[strings.LastIndexByte(stderr, '\n')+1:]
}

// firstBytes keeps the first bytes written to it.
type firstBytes struct {
	limit int
	kept  strings.Builder
}

func (f *firstBytes) Write(b []byte) (int, error) {
	f.kept.Write(b[:min(len(b), max(0, f.limit-f.kept.Len()))])
	return len(b), nil
}

func (f *firstBytes) String() string { return f.kept.String() }
