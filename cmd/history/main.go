// Command history is the history verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/history"
)

func main() { app.Main(history.Command()) }
