package kube

import (
	"sync"

	"k8s.io/apimachinery/pkg/watch"
)

// tapped is a watch that tells of its end before its reader can know of it.
type tapped struct {
	watch.Interface
	events  chan watch.Event
	stopped chan struct{}
	stop    sync.Once
}

// tap hands a watch's events on, and calls over when there are no more.
func tap(from watch.Interface, over func()) watch.Interface {
	t := &tapped{Interface: from, events: make(chan watch.Event), stopped: make(chan struct{})}
	go func() {
		defer close(t.events)
		defer over()
		for event := range from.ResultChan() {
			select {
			case t.events <- event:
			case <-t.stopped:
				return
			}
		}
	}()
	return t
}

// ResultChan is where the events come.
func (t *tapped) ResultChan() <-chan watch.Event { return t.events }

// Stop ends the watch.
func (t *tapped) Stop() {
	t.stop.Do(func() {
		close(t.stopped)
		t.Interface.Stop()
	})
}
