package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/onedigest/onedigest/internal/registry/transfer"
)

// registry takes uploads as a test wants it to.
type registry struct {
	mu       sync.Mutex
	arrived  []byte
	stored   []byte
	uploads  int
	breaksAt int    // bytes of the first part that are taken; 0: all
	tells    string // the Range that is told; "" is the true one, "none" none
	spoils   bool   // the first part is kept with wrong bytes
	noParts  int    // status that answers a part that is not the first; 0: it is taken
	noUpload int    // the number of the upload that is refused; 0: none
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch request.Method {
	case http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case http.MethodPost:
		r.uploads++
		r.arrived = nil
		if r.uploads == r.noUpload {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Location", fmt.Sprintf("/v2/shop/blobs/uploads/%d?state=x", r.uploads))
		w.WriteHeader(http.StatusAccepted)
	case http.MethodGet:
		if r.tells == "none" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		told := r.tells
		if told == "" {
			told = "0-" + strconv.Itoa(len(r.arrived)-1)
		}
		w.Header().Set("Range", told)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		if from := request.Header.Get("Content-Range"); from != "" && r.noParts != 0 {
			w.WriteHeader(r.noParts)
			return
		}
		if from := request.Header.Get("Content-Range"); from != "" && !strings.HasPrefix(from, strconv.Itoa(len(r.arrived))+"-") {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		if breaksAt := r.breaksAt; breaksAt > 0 {
			r.breaksAt = 0
			part, _ := io.ReadAll(io.LimitReader(request.Body, int64(breaksAt)))
			if r.spoils {
				part[0] ^= 1
			}
			r.arrived = append(r.arrived, part...)
			panic(http.ErrAbortHandler)
		}
		part, _ := io.ReadAll(request.Body)
		r.arrived = append(r.arrived, part...)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		if request.URL.Query().Get("state") != "x" || request.URL.Query().Get("digest") != digestOf(r.arrived) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.stored = r.arrived
		w.WriteHeader(http.StatusCreated)
	}
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

var errRefused = errors.New("refused")

func send(t *testing.T, to *registry, blob transfer.Blob, open transfer.Source) error {
	t.Helper()
	server := httptest.NewServer(to)
	t.Cleanup(server.Close)
	target := transfer.Target{
		URL: server.URL + "/v2/shop", Do: server.Client().Do,
		Refused: func(response *http.Response) error {
			_ = response.Body.Close()
			return fmt.Errorf("%w: %s", errRefused, response.Status)
		},
		Mismatch: func(wanted, got string) error { return fmt.Errorf("want %s, got %q", wanted, got) },
		Restartable: func(err error) bool {
			return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken") || strings.Contains(err.Error(), ": 500 ")
		},
		Log: func(string) {},
	}
	return target.Send(t.Context(), blob, "", open, nil)
}

// TestSend continues after what the registry says, and only if that can be: otherwise it starts again.
func TestSend(t *testing.T) {
	t.Parallel()
	content := make([]byte, 300<<10)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content)
	for name, test := range map[string]struct {
		to      *registry
		uploads int
		offset  int64 // of the last read
	}{
		"nothing breaks":                 {&registry{}, 1, 0},
		"it goes on":                     {&registry{breaksAt: 200 << 10}, 1, 200 << 10},
		"the registry forgets":           {&registry{breaksAt: 200 << 10, tells: "none"}, 2, 0},
		"it tells nonsense":              {&registry{breaksAt: 200 << 10, tells: "5-1"}, 2, 0},
		"it tells more than was sent":    {&registry{breaksAt: 200 << 10, tells: fmt.Sprint("0-", 1<<30)}, 2, 0},
		"it may have nothing":            {&registry{breaksAt: 1, tells: "0-0"}, 2, 0},
		"what it kept is spoilt":         {&registry{breaksAt: 200 << 10, spoils: true}, 2, 0},
		"it fails at a second part":      {&registry{breaksAt: 200 << 10, noParts: http.StatusInternalServerError}, 2, 0},
		"it refuses a second part":       {&registry{breaksAt: 200 << 10, noParts: http.StatusBadRequest}, 2, 0},
		"it tells what it does not have": {&registry{breaksAt: 100 << 10, tells: "0-9999"}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var last int64
			err := send(t, test.to, transfer.Blob{Digest: digestOf(content), Size: int64(len(content))}, func(_ context.Context, offset int64) (io.ReadCloser, error) {
				last = offset
				return io.NopCloser(bytes.NewReader(content[offset:])), nil
			})
			if err != nil || !bytes.Equal(test.to.stored, content) || test.to.uploads != test.uploads || last != test.offset {
				t.Errorf("got %v, %d uploads, last read from %d, want %d from %d", err, test.to.uploads, last, test.uploads, test.offset)
			}
		})
	}
}

// TestNoEndlessRestarts: a blob of which every upload breaks at the same place is given up, although each upload sends much of it again.
func TestNoEndlessRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := make([]byte, 3<<20)
		uploads := 0
		target := transfer.Target{
			URL: "https://registry.example.com/v2/shop",
			Do: func(request *http.Request) (*http.Response, error) {
				answer := func(status int, header ...string) (*http.Response, error) {
					response := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: request}
					for i := 0; i < len(header); i += 2 {
						response.Header.Set(header[i], header[i+1])
					}
					return response, nil
				}
				switch {
				case request.Method == http.MethodHead:
					return answer(http.StatusNotFound)
				case request.Method == http.MethodPost:
					uploads++
					return answer(http.StatusAccepted, "Location", "/upload")
				case request.Method == http.MethodGet:
					return answer(http.StatusNoContent, "Range", "0-999")
				case request.Header.Get("Content-Range") != "":
					return answer(http.StatusInternalServerError)
				}
				_, _ = io.CopyN(io.Discard, request.Body, 2<<20)
				_ = request.Body.Close()
				return nil, io.ErrUnexpectedEOF
			},
			Refused:     func(response *http.Response) error { return fmt.Errorf("%w: %d", errRefused, response.StatusCode) },
			Mismatch:    func(wanted, got string) error { return fmt.Errorf("want %s, got %q", wanted, got) },
			Restartable: func(error) bool { return uploads < 100 },
			Log:         func(string) {},
		}
		err := target.Send(t.Context(), transfer.Blob{Digest: digestOf(content), Size: int64(len(content))}, "", func(_ context.Context, offset int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content[offset:])), nil
		}, nil)
		if err == nil || uploads < 2 || uploads > 6 {
			t.Errorf("got %v after %d uploads", err, uploads)
		}
	})
}

// TestTheTargetIsBlamedForItsOwnErrors: an earlier error of the source does not hide them.
func TestTheTargetIsBlamedForItsOwnErrors(t *testing.T) {
	t.Parallel()
	content, to := []byte("content"), &registry{noUpload: 2}
	err := send(t, to, transfer.Blob{Digest: digestOf(content), Size: int64(len(content))}, func(context.Context, int64) (io.ReadCloser, error) {
		return nil, errors.New("the connection is broken")
	})
	var source *transfer.SourceError
	if !errors.Is(err, errRefused) || errors.As(err, &source) || to.uploads != 2 {
		t.Errorf("got %v after %d uploads", err, to.uploads)
	}
}

// TestSourcesThatLie: bytes that are not the digest's never become a blob, also if they change between two reads.
func TestSourcesThatLie(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 30<<10)
	for name, change := range map[string]func(read int, content []byte) []byte{
		"another last byte": func(_ int, content []byte) []byte { return append(content[:len(content)-1], 'x') },
		"longer":            func(_ int, content []byte) []byte { return append(content, 'x') },
		"shorter":           func(_ int, content []byte) []byte { return content[:len(content)-1] },
		"another second part": func(read int, content []byte) []byte {
			if read > 1 {
				content[len(content)-5] = 'x'
			}
			return content
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, reads := &registry{breaksAt: 200 << 10}, 0
			err := send(t, to, transfer.Blob{Digest: digestOf(content), Size: int64(len(content))}, func(_ context.Context, offset int64) (io.ReadCloser, error) {
				reads++
				return io.NopCloser(bytes.NewReader(change(reads, bytes.Clone(content))[offset:])), nil
			})
			var source *transfer.SourceError
			if !errors.As(err, &source) || to.stored != nil {
				t.Errorf("got %v, %d bytes were stored", err, len(to.stored))
			}
		})
	}
}
