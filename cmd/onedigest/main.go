// Command onedigest is all verbs in one program; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/onedigest"
)

func main() { app.Main(onedigest.Command()) }
