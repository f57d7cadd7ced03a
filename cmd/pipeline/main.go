// Command pipeline is the whole gitflow on one machine; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/pipeline"
)

func main() { app.Main(pipeline.Command()) }
