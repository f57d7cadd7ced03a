//go:build unix && !linux

package command

import "syscall"

// remaining finds the group of a command if it has processes. Processes that left the group cannot be found.
func remaining(group int, _ string) (left leftovers) {
	if syscall.Kill(-group, 0) == nil {
		left.group = group
	}
	return left
}
