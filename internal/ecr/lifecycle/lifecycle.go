// Package lifecycle says what a lifecycle policy of Amazon ECR does with the images of a repository, by the rules of ECR's own preview. It sends no
// request and changes nothing.
package lifecycle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of count, and the storage classes. Source: Amazon ECR User Guide, "Lifecycle policy properties in Amazon ECR".
const (
	countMoreThan     = "imageCountMoreThan"
	sincePushed       = "sinceImagePushed"
	sincePulled       = "sinceImagePulled"
	sinceTransitioned = "sinceImageTransitioned"
	classStandard     = "standard"
	classArchive      = "archive"
	anyTag            = "any"
	withTag           = "tagged"
	withoutTag        = "untagged"
)

const day = 24 * time.Hour

// Image is an image of the repository, as DescribeImages lists it. Children of an index and artifacts with a subject are left out: no rule
// expires them before what they belong to.
type Image struct {
	Digest       string
	Tags         []string
	Pushed       time.Time
	Pulled       time.Time // last recorded pull; zero if there is none
	Transitioned time.Time // to the archive; zero if it was not
	Archived     bool
}

// Policy is a repository's lifecycle policy.
type Policy struct{ rules []rule }

type rule struct {
	Priority  int       `json:"rulePriority"`
	Selection selection `json:"selection"`
	Action    struct {
		Type string `json:"type"`
	} `json:"action"`
}

type selection struct {
	TagStatus    string   `json:"tagStatus"`
	TagPatterns  []string `json:"tagPatternList"`
	TagPrefixes  []string `json:"tagPrefixList"`
	StorageClass string   `json:"storageClass"`
	CountType    string   `json:"countType"`
	CountUnit    string   `json:"countUnit"`
	CountNumber  int      `json:"countNumber"`
}

// Parse reads a policy's text. A rule of an unknown kind is an error, because it is not known what it does.
func Parse(text string) (Policy, error) {
	var document struct {
		Rules []rule `json:"rules"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return Policy{}, fmt.Errorf("reading the lifecycle policy: %w", err)
	}
	for i := range document.Rules {
		of := &document.Rules[i].Selection
		of.StorageClass = cmp.Or(of.StorageClass, classStandard)
		if err := document.Rules[i].check(); err != nil {
			return Policy{}, fmt.Errorf("reading rule %d of the lifecycle policy: %w", document.Rules[i].Priority, err)
		}
	}
	slices.SortStableFunc(document.Rules, func(a, b rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return Policy{document.Rules}, nil
}

// check returns an error for a rule of an unknown kind, and for a count that is not positive.
func (r rule) check() error {
	switch of := r.Selection; {
	case !slices.Contains([]string{countMoreThan, sincePushed, sincePulled, sinceTransitioned}, of.CountType):
		return fmt.Errorf("countType %.50q is not known", of.CountType)
	case of.CountType != countMoreThan && of.CountUnit != "days":
		return fmt.Errorf("countUnit %.50q is not known", of.CountUnit)
	case !slices.Contains([]string{anyTag, withTag, withoutTag}, of.TagStatus):
		return fmt.Errorf("tagStatus %.50q is not known", of.TagStatus)
	case of.StorageClass != classStandard && of.StorageClass != classArchive:
		return fmt.Errorf("storageClass %.50q is not known", of.StorageClass)
	case of.CountNumber < 1:
		return errors.New("countNumber is not positive")
	case r.Action.Type != "expire" && r.Action.Type != "transition":
		return fmt.Errorf("action %.50q is not known", r.Action.Type)
	}
	return nil
}

// Effect is what a rule does with an image.
type Effect struct {
	Rule     int       // its priority
	Archives bool      // it moves the image to the archive, from where it cannot be pulled; otherwise it deletes the image
	At       time.Time // when; not after now if it is due
}

// Effects returns what the policy does, until a time, with the images of a repository, by their digests. An image that becomes one of too many only
// when further images are pushed is not among them.
//
// The rules are those of the preview: a rule of the lowest priority number comes first; an image that one rule selects by its tags is left
// alone by all later ones of the same storage class; each rule counts images as if those before it had removed none; the oldest go first.
// Source: Amazon ECR User Guide, "Automate the cleanup of images by using lifecycle policies in Amazon ECR", "Lifecycle policy evaluation rules".
func (p Policy) Effects(images []Image, now, until time.Time) map[string]Effect {
	effects, claimed := map[string]Effect{}, map[string]bool{}
	for _, rule := range p.rules {
		var selected []Image
		for _, image := range images {
			if image.Archived == (rule.Selection.StorageClass == classArchive) && rule.Selection.selects(image.Tags) {
				selected = append(selected, image)
			}
		}
		for digest, at := range rule.Selection.due(selected, now) {
			if !claimed[digest] && !at.After(until) {
				effects[digest] = Effect{Rule: rule.Priority, Archives: rule.Action.Type == "transition", At: at}
			}
		}
		for _, image := range selected {
			claimed[image.Digest] = true
		}
	}
	return effects
}

// due returns when the rule removes the selected images; images that it keeps are left out.
func (s selection) due(selected []Image, now time.Time) map[string]time.Time {
	due := map[string]time.Time{}
	if s.CountType == countMoreThan {
		slices.SortStableFunc(selected, func(a, b Image) int { return b.since(s.StorageClass).Compare(a.since(s.StorageClass)) })
		for _, image := range selected[min(s.CountNumber, len(selected)):] {
			due[image.Digest] = now
		}
		return due
	}
	for _, image := range selected {
		from := image.Pushed
		switch {
		case s.CountType == sincePulled && image.Pulled.After(from):
			from = image.Pulled
		case s.CountType == sinceTransitioned:
			from = image.Transitioned
		}
		due[image.Digest] = from.Add(time.Duration(s.CountNumber) * day)
	}
	return due
}

// since returns the time by which ECR orders images of a storage class.
func (i Image) since(class string) time.Time {
	if class == classArchive {
		return i.Transitioned
	}
	return i.Pushed
}

// selects reports whether the rule applies to an image with these tags. Every pattern and every prefix of the rule must match a tag.
func (s selection) selects(tags []string) bool {
	switch s.TagStatus {
	case anyTag:
		return true
	case withoutTag:
		return len(tags) == 0
	}
	for _, pattern := range s.TagPatterns {
		if !slices.ContainsFunc(tags, func(tag string) bool { return matches(pattern, tag) }) {
			return false
		}
	}
	for _, prefix := range s.TagPrefixes {
		if !slices.ContainsFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, prefix) }) {
			return false
		}
	}
	return len(tags) > 0 && len(s.TagPatterns)+len(s.TagPrefixes) > 0
}

// matches reports whether a tag matches a pattern, in which * stands for any characters.
func matches(pattern, tag string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == tag
	}
	rest, found := strings.CutPrefix(tag, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		if !found {
			return false
		}
		_, rest, found = strings.Cut(rest, part)
	}
	return found && strings.HasSuffix(rest, parts[len(parts)-1])
}

// Rule returns the priority of the rule that removes, some day, images that are in use and have a tag; false if no rule does.
func (p Policy) Rule(tag string) (priority int, found bool) {
	for _, rule := range p.rules {
		if rule.Selection.StorageClass == classStandard && rule.Selection.selects([]string{tag}) {
			return rule.Priority, true
		}
	}
	return 0, false
}
