// Command pipeline is the whole gitflow on one machine; see --help.
package main

import "github.com/onedigest/onedigest/internal/entry"

func main() { entry.Main(entry.Pipeline) }
