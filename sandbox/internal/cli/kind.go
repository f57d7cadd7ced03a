package cli

import (
	"context"
	"errors"

	"github.com/onedigest/onedigest/sandbox/internal/place"
)

func createKind(context.Context, place.Dir, place.Settings) error { return errors.New("not yet") }
func deleteKind(context.Context, place.Dir) error                 { return nil }
