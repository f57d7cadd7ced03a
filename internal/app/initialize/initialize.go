// Package initialize wires the init verb: the work tree, which it reads and writes.
package initialize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/initialize"
	"github.com/onedigest/onedigest/internal/release"
)

// Command returns the init verb as a program of a version, "" if that is no release.
func Command(version string) app.Command {
	return app.NewCommand(app.Wiring[initialize.Settings, initialize.Result]{
		Verb: initialize.Verb, Declare: (*initialize.Settings).Declare,
		Run: func(ctx context.Context, settings *initialize.Settings, run *app.RunContext) (initialize.Result, error) {
			return Run(ctx, settings, run, version)
		},
		Outputs: func(r initialize.Result) map[string]string { return map[string]string{"files": app.JSONOf(r.Files)} },
		Page:    Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *initialize.Settings, run *app.RunContext, version string) (_ initialize.Result, err error) {
	workspace := run.Workspace()
	if !workspace.IsCheckout() {
		return initialize.Result{}, release.BadInput(workspace.Root(), "is not the work tree of a git repository", "run init in one")
	}
	root, err := os.OpenRoot(workspace.Root())
	if err != nil {
		return initialize.Result{}, fmt.Errorf("opening %q: %w", workspace.Root(), err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return initialize.Run(ctx, settings, initialize.Deps{Tree: root.FS(), Files: files{root}, Ask: run.Process.Ask, Version: version, Reporter: run.Reporter})
}

// files writes into a directory, and never outside of it.
type files struct{ root *os.Root }

// Write implements initialize.Files.
func (f files) Write(name string, content []byte) error {
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making the directory of %q: %w", name, err)
	}
	next := name + ".onedigest-new"
	file, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // a link of that name would lead to another file
	if errors.Is(err, fs.ErrExist) {
		return release.BadInput(next, "is there already, and would be overwritten", "remove it")
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.root.Rename(next, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %q: %w", name, err), f.root.Remove(next))
	}
	return nil
}
