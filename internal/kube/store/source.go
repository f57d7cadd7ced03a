package store

import (
	"context"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Source says how the objects of one kind are listed and watched.
type Source struct {
	list  func(context.Context, meta.ListOptions) (runtime.Object, error)
	watch func(context.Context, meta.ListOptions) (watch.Interface, error)
	kind  runtime.Object
}

// From makes a source from the List and Watch methods of a typed or dynamic client. kind is an empty object of the kind; an
// unstructured object must have its group, version and kind set.
func From[L runtime.Object](kind runtime.Object, list func(context.Context, meta.ListOptions) (L, error), watching func(context.Context, meta.ListOptions) (watch.Interface, error)) Source {
	return Source{
		list:  func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) { return list(ctx, options) },
		watch: watching, kind: kind,
	}
}

// WithFields limits a source to the objects that match a field selector; "" limits nothing.
func (s Source) WithFields(selector string) Source {
	return s.with(func(options *meta.ListOptions) { options.FieldSelector = selector })
}

// with returns the source with changed options for lists and watches.
func (s Source) with(change func(*meta.ListOptions)) Source {
	list, watching := s.list, s.watch
	s.list = func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
		change(&options)
		return list(ctx, options)
	}
	s.watch = func(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
		change(&options)
		return watching(ctx, options)
	}
	return s
}
