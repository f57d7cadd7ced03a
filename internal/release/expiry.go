package release

import (
	"fmt"
	"time"
)

// Expiry says that a registry is going to delete an image or to archive it, or that it is archived already. An archived image cannot be pulled.
type Expiry struct {
	Image    Image
	PushedAt time.Time
	Archived bool
	Rule     int       // priority of the rule that removes it; 0: none does
	Archives bool      // the rule archives it instead of deleting it
	At       time.Time // when the rule applies, at the earliest
}

// Explain says what happens to the image, and from when on, at a time.
func (e Expiry) Explain(now time.Time) string {
	verb := "deletes"
	if e.Archives {
		verb = "archives"
	}
	switch {
	case e.Archived && e.Rule == 0:
		return "is archived and cannot be pulled until it is restored"
	case e.Archived:
		return fmt.Sprintf("is archived and cannot be pulled until it is restored; rule %d of the lifecycle policy %s it", e.Rule, verb)
	case !e.At.After(now):
		return fmt.Sprintf("is about to be lost: rule %d of the lifecycle policy %s it within a day", e.Rule, verb)
	}
	return fmt.Sprintf("will be lost on %s: rule %d of the lifecycle policy %s it", e.At.UTC().Format(time.DateOnly), e.Rule, verb)
}
