package text_test

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/text"
)

func ExampleLine() {
	event := "Back-off restarting\n\tfailed container \x1b[31mapp\x1b[0m"
	fmt.Println(text.Line(event, 100))
	fmt.Println(text.Line(event, 25))
	// Output:
	// Back-off restarting failed container app
	// Back-off restarting fa…
}

// A pod's log cannot give commands to the runner that shows it.
func ExampleLines() {
	log := "started\r\n  ::add-mask::e\r\n##[error]forged"
	fmt.Println(text.Lines(log, 4096))
	// Output:
	// started
	//   :\:add-mask::e
	// ##\[error]forged
}

func ExampleLogLine() {
	fmt.Printf("%q\n", text.LogLine("  at main.go:12\t\u202e(exe.gpj)", 80))
	// Output:
	// "  at main.go:12 (exe.gpj)"
}
