// Command deploy is the deploy verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/deploy"
)

func main() { app.Main(deploy.Command()) }
