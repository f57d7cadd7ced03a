// Command build is the build verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/build"
)

func main() { app.Main(build.Command()) }
