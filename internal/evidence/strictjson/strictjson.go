// Package strictjson refuses JSON that two readers could read differently.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/onedigest/onedigest/internal/text"
)

const (
	maxDepth  = 32  // of nested objects and lists
	maxQuoted = 100 // bytes of a name in an error message
)

// Check returns an error if an object names the same field twice, in any letter case because encoding/json ignores case, if something
// follows the first value, or if values are nested more than 32 levels deep.
func Check(encoded []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	if err := checkValue(decoder, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// Decode checks JSON and decodes it. Unknown fields are ignored.
func Decode(encoded []byte, into any) error {
	if err := Check(encoded); err != nil {
		return err
	}
	return json.Unmarshal(encoded, into)
}

// checkValue reads one JSON value and all values inside.
func checkValue(decoder *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is more than %d levels deep", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for decoder.More() {
		if opening == '{' {
			name, err := decoder.Token()
			if err != nil {
				return err
			}
			folded := foldCase(fmt.Sprint(name))
			if names[folded] {
				return fmt.Errorf("field %s is there twice", strconv.Quote(text.Truncate(folded, maxQuoted)))
			}
			names[folded] = true
		}
		if err := checkValue(decoder, depth+1); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// foldCase maps all spellings that encoding/json accepts for a field to the same text: by simple case folding, which makes "ſ" an
// "s".
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}
