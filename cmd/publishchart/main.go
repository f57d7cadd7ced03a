// Command publishchart publishes a chart of this repository in an OCI registry; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/publishchart"
)

func main() { app.Main(publishchart.Command()) }
