package app_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// block is a code block of a Markdown file.
type block struct {
	file string
	line int    // of its first line of content
	kind string // the word after the fence; "indented" for a block without a fence
	text string
}

// blocksOf reads the code blocks of a Markdown file, path being relative to the root of the repository.
func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	file, err := os.Open("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var blocks []block
	var open *block
	fenced, blank := false, true
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		fence := strings.HasPrefix(strings.TrimLeft(line, " "), "```")
		indented := !fenced && strings.HasPrefix(line, "    ")
		switch {
		case fence && fenced:
			fenced, open = false, nil
		case fence:
			blocks = append(blocks, block{file: path, line: number + 1, kind: strings.TrimLeft(line, " `")})
			fenced, open = true, &blocks[len(blocks)-1]
		case fenced:
			open.text += line + "\n"
		case indented && open == nil && blank: // an indented line in a paragraph or in a list continues it
			blocks = append(blocks, block{file: path, line: number, kind: "indented"})
			open = &blocks[len(blocks)-1]
			fallthrough
		case indented && open != nil:
			open.text += line[len("    "):] + "\n"
		default:
			open = nil
		}
		blank = strings.TrimSpace(line) == ""
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return blocks
}
