package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// include is the directive by which an assembler file takes another one of any name. One in a comment counts too.
var include = regexp.MustCompile(`#[ \t]*include[ \t]*("(?:[^"\\\n]|\\.)*")`)

// included are the files that assembler files of a package take, directly or not, those that do not exist included. The
// assembler looks in the package's directory for them, whichever file names them, and then in the Go distribution (go doc
// cmd/asm, -I; cmd/asm/internal/lex, Input.include).
func included(dir string, names []string) (files []string) {
	known := map[string]bool{}
	for _, name := range names {
		known[filepath.Join(dir, name)] = true
	}
	for ; len(names) > 0; names = names[1:] {
		for _, named := range includesOf(inDir(dir, names[0])) {
			if file := inDir(dir, named); !known[file] {
				known[file] = true
				files, names = append(files, file), append(names[:len(names):len(names)], named)
			}
		}
	}
	return files
}

func inDir(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// includesOf are the names that a file includes; none if it cannot be read, as one of the Go distribution.
func includesOf(file string) (names []string) {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	content, err := os.ReadFile(file) // #nosec G304 -- a source of the package
	if err != nil {
		return nil
	}
	for _, match := range include.FindAllSubmatch(content, -1) {
		if name, err := strconv.Unquote(string(match[1])); err == nil && name != "" {
			names = append(names, name)
		}
	}
	return names
}
