package helm

import (
	"fmt"
	"strings"
)

// mostLines bounds the texts that are compared line by line, after what they have in common at both ends: the comparison takes
// the square of it.
const mostLines = 400

// compareLines tells which lines of a text differ, as a ConfigMap's file.
func compareLines(path []step, before, after string, list *[]difference) {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	for len(a) > head && len(b) > head && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	a, b = a[head:], b[head:]
	if len(a) > mostLines || len(b) > mostLines {
		*list = append(*list, difference{path: path, before: before, after: after})
		return
	}
	gone, come := 0, 0 // lines of either that are told
	tell := func(i, j int) {
		for gone < i || come < j {
			one := difference{path: path}
			if come < j {
				one.note, one.after = fmt.Sprintf(" line %d", head+come+1), b[come]
			}
			if gone < i {
				one.note, one.before = fmt.Sprintf(" line %d", head+gone+1), a[gone]
				gone++
			}
			if come < j {
				come++
			}
			*list = append(*list, one)
		}
	}
	for _, pair := range commonLines(a, b) {
		tell(pair[0], pair[1])
		gone, come = pair[0]+1, pair[1]+1
	}
	tell(len(a), len(b))
}

// commonLines are the lines of a longest common subsequence, by their numbers in both texts.
func commonLines(a, b []string) (pairs [][2]int) {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}
