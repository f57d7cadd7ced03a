// Command pipeline is the whole gitflow on one machine; see --help.
package main

import "github.com/onedigest/onedigest/internal/app"

func main() { app.Main(app.Pipeline) }
