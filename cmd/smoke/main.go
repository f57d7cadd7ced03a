// Command smoke is the smoke verb; see --help.
package main

import "github.com/onedigest/onedigest/internal/app"

func main() { app.Main(app.Smoke) }
