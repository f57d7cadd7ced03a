package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// remaining lists the processes that a command has left running: those of its group, and those of other groups and sessions whose environment
// has the mark, such as a browser that a test has started. Zombies (state Z) are left out.
func remaining(group int, mark string) (left leftovers) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return leftovers{group: group} // the group may have ended
	}
	wanted := []byte(marker + "=" + mark)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		of, lives := groupOf(dir)
		switch {
		case !lives:
		case of == group:
			left.group = group
		default:
			environ, err := os.ReadFile(filepath.Join(dir, "environ")) // #nosec G304 -- of a process
			if err == nil && bytes.Contains(environ, wanted) {
				left.escaped = append(left.escaped, pid)
			}
		}
	}
	return left
}

// groupOf returns the process group of a process, and whether it runs. Source: proc(5), /proc/pid/stat: the state and the group follow the name, which is in
// parentheses and may have any character.
func groupOf(dir string) (group int, lives bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) // #nosec G304 -- of a process
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 || bytes.ContainsAny(fields[0], "ZX") {
		return 0, false
	}
	group, err = strconv.Atoi(string(fields[2]))
	return group, err == nil
}
