package store

import (
	"sync"

	"k8s.io/apimachinery/pkg/watch"
)

// notifyingWatch is a watch that reports its own end at once. The reflector that reads it may notice the end later.
type notifyingWatch struct {
	watch.Interface
	events   chan watch.Event
	stopped  chan struct{}
	stopOnce sync.Once
}

// notifyOnEnd forwards the events of a watch, and calls ended after the last one.
func notifyOnEnd(from watch.Interface, ended func()) watch.Interface {
	w := &notifyingWatch{Interface: from, events: make(chan watch.Event), stopped: make(chan struct{})}
	go func() {
		defer close(w.events)
		defer ended()
		for event := range from.ResultChan() {
			select {
			case w.events <- event:
			case <-w.stopped:
				return
			}
		}
	}()
	return w
}

// ResultChan returns the channel of forwarded events.
func (w *notifyingWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the watch. It may be called more than once.
func (w *notifyingWatch) Stop() {
	w.stopOnce.Do(func() {
		close(w.stopped)
		w.Interface.Stop()
	})
}
