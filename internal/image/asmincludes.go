package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// include matches the directive by which an assembler file includes another file of any name, also in a comment.
var include = regexp.MustCompile(`#[ \t]*include[ \t]*("(?:[^"\\\n]|\\.)*")`)

// included returns the files that a package's assembler files include, directly or not, existing or not. The assembler looks for
// them in the package's directory, whichever file includes them, and then in the Go distribution (go doc cmd/asm, -I;
// cmd/asm/internal/lex, Input.include).
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

// includesOf returns the names that a file includes. It returns none if the file cannot be read, such as a file of the Go
// distribution.
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
