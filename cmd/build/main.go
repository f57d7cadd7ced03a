// Command build is the build verb; see --help.
package main

import "github.com/onedigest/onedigest/internal/app"

func main() { app.Main(app.Build) }
