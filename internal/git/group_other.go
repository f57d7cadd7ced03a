//go:build !unix

package git

import "os/exec"

// killGroup does nothing: git alone is killed where there are no process groups, and WaitDelay limits what its programs can hold up.
func killGroup(*exec.Cmd) {}
