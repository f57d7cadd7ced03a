// Command build is the build verb; see --help.
package main

import "github.com/onedigest/onedigest/internal/entry"

func main() { entry.Main(entry.Build) }
