package httpx

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func response(reader io.Reader, length int64) (*http.Response, *closeCounter) {
	body := &closeCounter{Reader: reader}
	return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: length}, body
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		body   io.Reader
		length int64
		want   string // of the error, "" for none
	}{
		"short":             {strings.NewReader("12345"), 5, ""},
		"at the limit":      {strings.NewReader("1234567890"), -1, ""},
		"byte by byte":      {iotest.OneByteReader(strings.NewReader("1234567890")), -1, ""},
		"longer":            {strings.NewReader("12345678901"), -1, "reading the response: it is longer than 10 bytes"},
		"longer, in bytes":  {iotest.OneByteReader(strings.NewReader("12345678901")), -1, "longer than 10 bytes"},
		"announced longer":  {strings.NewReader(""), 11, "it is 11 bytes long, limit 10"},
		"without an end":    {neverEnding{}, -1, "longer than 10 bytes"},
		"broken in between": {io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), -1, "reading the response: broken"},
	} {
		r, body := response(test.body, test.length)
		got, err := ReadBody(r, 10)
		switch {
		case test.want == "" && (err != nil || len(got) == 0):
			t.Errorf("%s: got %q, %v", name, got, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || got != nil):
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
		if body.closed != 1 {
			t.Errorf("%s: closed %d times", name, body.closed)
		}
	}
}

type neverEnding struct{}

func (neverEnding) Read(buffer []byte) (int, error) { return len(buffer), nil }

func TestReadAll(t *testing.T) {
	t.Parallel()
	if got, err := ReadAll(strings.NewReader("1234567890"), 10); err != nil || string(got) != "1234567890" {
		t.Errorf("at the limit: got %q, %v", got, err)
	}
	if got, err := ReadAll(strings.NewReader("12345678901"), 10); err == nil || got != nil || err.Error() != "it is longer than 10 bytes" {
		t.Errorf("longer: got %q, %v", got, err)
	}
	if got, err := ReadAll(strings.NewReader(""), 0); err != nil || len(got) != 0 {
		t.Errorf("nothing: got %q, %v", got, err)
	}
}

func TestPeekLeavesTheBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r, body := response(io.MultiReader(strings.NewReader("12345"), iotest.ErrReader(broken)), -1)
	for _, limit := range []int64{2, 4, 100} {
		if got, want := Peek(r, limit), "12345"[:min(limit, 5)]; string(got) != want {
			t.Errorf("the first %d bytes are %q, want %q", limit, got, want)
		}
	}
	if got, err := io.ReadAll(r.Body); string(got) != "12345" || !errors.Is(err, broken) {
		t.Errorf("then %q, %v", got, err)
	}
	Drain(r)
	if body.closed != 1 {
		t.Errorf("closed %d times", body.closed)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	request := func(body io.Reader) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://registry.example/v2/", body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	stream := request(io.NopCloser(strings.NewReader("once")))
	unreadable := request(strings.NewReader("x"))
	unreadable.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
	for name, test := range map[string]struct {
		request    *http.Request
		replayable bool
		err        string
	}{
		"no body": {request(nil), true, ""}, "http.NoBody": {request(http.NoBody), true, ""}, "bytes": {request(bytes.NewReader([]byte("twice"))), true, ""},
		"a stream": {stream, false, "cannot be read twice"}, "a body that is gone": {unreadable, true, "closed pipe"},
	} {
		if got := Replayable(test.request); got != test.replayable {
			t.Errorf("%s: replayable is %t", name, got)
		}
		if test.request.Body != nil {
			_, _ = io.Copy(io.Discard, test.request.Body)
		}
		again, err := Replay(test.request)
		switch {
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: got %v, want %q", name, err, test.err)
		case test.err == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.err == "" && name == "bytes":
			if text, err := io.ReadAll(again.Body); err != nil || string(text) != "twice" {
				t.Errorf("%s: the body is %q, %v", name, text, err)
			}
		}
	}
}
