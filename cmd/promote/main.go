// Command promote is the promote verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/promote"
)

func main() { app.Main(promote.Command()) }
