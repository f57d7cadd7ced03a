package renderer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"helm.sh/helm/v3/pkg/engine"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic"
)

// Exit codes of the child.
const (
	exitDone   = 0
	exitBroken = 1  // the request cannot be read, the answer not be written, or the parent has ended
	exitMemory = 13 // the heap is above its limit
)

// runtimeMemory is the memory that the runtime needs in addition to the heap, in bytes.
const runtimeMemory = 64 << 20

// watchInterval is how often the child's heap is measured.
const watchInterval = 2 * time.Millisecond

// Serve is the child process: it reads one request, renders, writes the answer and returns the exit code. The caller must end the
// process at once, because a rendering beyond its limits continues.
func Serve(in io.Reader, out io.Writer) int {
	log.SetOutput(io.Discard) // Helm logs there
	channel := &parentConn{decoder: json.NewDecoder(in), encoder: json.NewEncoder(out)}
	var asked request
	if err := channel.decoder.Decode(&asked); err != nil {
		return exitBroken
	}
	debug.SetMemoryLimit(int64(asked.Memory) / 4 * 3) // #nosec G115 -- a few hundred MiB
	most := asked.Memory + runtimeMemory
	limitMemory(most)
	channel.maxResident = peakMemory() + most
	done := make(chan int, 1)
	go func() { done <- channel.render(asked) }()
	for {
		select {
		case code := <-done:
			return code
		case <-time.After(watchInterval):
			if heap() > asked.Memory {
				return exitMemory
			}
			if os.Getppid() != asked.Parent { // it was killed, and cannot end this process any more
				return exitBroken
			}
		}
	}
}

// heap returns the size of the objects on the heap, in bytes.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// parentConn is the connection to the parent.
type parentConn struct {
	decoder     *json.Decoder
	encoder     *json.Encoder
	maxResident uint64 // resident size that rendering may not have exceeded, in bytes
}

// render renders the chart of a request, sends the result to the parent, and returns the exit code.
func (c *parentConn) render(r request) int {
	chart := r.Chart.chart()
	values := r.renderValues(chart)
	if !r.Lookups {
		return c.sendResult(engine.Render(chart, values))
	}
	return c.sendResult(engine.RenderWithClientProvider(chart, values, c))
}

// sendResult sends the rendered files, or the template's error, to the parent, and returns the exit code.
func (c *parentConn) sendResult(files map[string]string, err error) int {
	if peakMemory() > c.maxResident {
		return exitMemory // the check of the heap, every few milliseconds, misses a short peak; the kernel does not
	}
	rendered, size := answer{Files: files}, 0
	for _, file := range files {
		size += len(file)
	}
	switch garbled := firstInvalidUTF8(files); {
	case err != nil:
		rendered = answer{Failure: err.Error()}
	case size > maxRendered:
		rendered = answer{TooLarge: true}
	case garbled != "": // JSON would replace the bytes
		rendered = answer{Failure: garbledFile(garbled)}
	}
	if c.encoder.Encode(rendered) != nil {
		return exitBroken
	}
	return exitDone
}

// GetClientFor implements Helm's ClientProvider: a client that asks the parent.
func (c *parentConn) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return client{channel: c, query: query{APIVersion: apiVersion, Kind: kind}}, true, nil
}

// client asks the parent for objects of one kind. All its other methods are nil, and no template calls them.
type client struct {
	dynamic.NamespaceableResourceInterface
	channel *parentConn
	query   query
}

func (c client) Namespace(namespace string) dynamic.ResourceInterface {
	c.query.Namespace = namespace
	return c
}

func (c client) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	c.query.Name = name
	content, err := c.ask()
	return &unstructured.Unstructured{Object: content}, err
}

func (c client) List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	content, err := c.ask()
	list := &unstructured.UnstructuredList{}
	if err == nil {
		list.SetUnstructuredContent(content)
	}
	return list, err
}

// ask sends the query to the parent. An object that does not exist is a NotFound error, which Helm's engine turns into an empty result.
func (c client) ask() (map[string]any, error) {
	if err := c.channel.encoder.Encode(answer{Lookup: &c.query}); err != nil {
		return nil, err
	}
	var got found
	if err := c.channel.decoder.Decode(&got); err != nil {
		return nil, err
	}
	if got.Failure != "" {
		return nil, errors.New(got.Failure)
	}
	content := map[string]any{}
	if len(got.Content) > 0 {
		if err := k8sjson.Unmarshal(got.Content, &content); err != nil { // whole numbers become int64, as the cluster's client has them
			return nil, err
		}
	}
	if len(content) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: c.query.Kind}, c.query.Name)
	}
	return content, nil
}
