// Command scan is the scan verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/scan"
)

func main() { app.Main(scan.Command()) }
