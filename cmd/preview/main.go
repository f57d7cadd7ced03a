// Command preview is the preview verb; see --help.
package main

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/preview"
)

func main() { app.Main(preview.Command()) }
