package probe

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"
)

// endless repeats a text without an end, and counts what is read.
type endless struct {
	text []byte
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.text[(e.read+n)%len(e.text):])
	}
	e.read += n
	return n, nil
}

// TestABodyCostsNoMoreThanItsLimit, whether it grows when it is decompressed or never becomes anything.
func TestABodyCostsNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	packed := func(content []byte) []byte {
		var out bytes.Buffer
		packer := gzip.NewWriter(&out)
		_, _ = packer.Write(content)
		_ = packer.Close()
		return out.Bytes()
	}
	for name, test := range map[string]struct {
		body     io.Reader
		encoding string
	}{
		"endless":                     {&endless{text: []byte("a")}, ""},
		"64 MiB in 64 KiB":            {bytes.NewReader(packed(make([]byte, 64<<20))), "gzip"},
		"endless, and packed nothing": {&endless{text: packed(nil)}, "gzip"},
	} {
		body, truncated, err := readBody(&http.Response{Header: http.Header{"Content-Encoding": {test.encoding}}, Body: io.NopCloser(test.body)}, limit)
		if err != nil || !truncated || len(body) > limit || cap(body) > 4*limit {
			t.Errorf("%s: got %d bytes of %d, truncated %t, %v", name, len(body), cap(body), truncated, err)
		}
		if source, is := test.body.(*endless); is && source.read > 2*limit {
			t.Errorf("%s: %d bytes were read", name, source.read)
		}
	}
}
