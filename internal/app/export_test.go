package app

import (
	"context"

	"github.com/onedigest/onedigest/internal/setting"
)

// ReadSettings reads a verb's settings from a process without a repository, for the tests that know every verb.
func ReadSettings(set *setting.Set, process Process) error {
	return readSettings(context.Background(), set, process, noCommits, false)
}

// Variable is the variable of a setting.
func Variable(name string) string { return variable(name) }
