// Command smoke is the smoke verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/smoke"
)

func main() { app.Main(smoke.Command()) }
