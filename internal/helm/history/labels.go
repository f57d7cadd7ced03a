package history

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Our own labels on a record. Helm's command copies all labels of a revision to the next one, and changes a record's status
// without touching them: so each value names the revision that it describes, and is valid for that one only. release.LabelMark
// is one more.
const (
	statusLabel  = "onedigest.dev/record"  // REVISION.STATUS: this pipeline wrote this status of this revision
	createdLabel = "onedigest.dev/created" // REVISION: this pipeline created it
	runLabel     = "onedigest.dev/run"     // the run that created the revision
)

// Author is who creates a revision.
type Author struct{ RunURL, Actor string }

var runPath = regexp.MustCompile(`/actions/runs/([0-9]{1,20})(?:/|$)`)

// label returns the author as a label value: the number of the run, or else a part of the URL's hash; "" without a URL.
func (a Author) label() string {
	if match := runPath.FindStringSubmatch(a.RunURL); match != nil {
		return match[1]
	}
	if a.RunURL == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(a.RunURL))
	return hex.EncodeToString(sum[:8])
}

func statusValue(revision int, status helmrelease.Status) string {
	return fmt.Sprintf("%d.%s", revision, status)
}

// customLabels returns a record's labels without those that Helm sets.
func customLabels(all map[string]string) map[string]string {
	custom := maps.Clone(all)
	for _, name := range systemLabels {
		delete(custom, name)
	}
	if custom == nil {
		custom = map[string]string{}
	}
	return custom
}

// Entry is a revision as the metadata of its record describe it. The record need not be read for it.
type Entry struct {
	Revision int
	Status   helmrelease.Status

	name            string // of the Secret
	labels          map[string]string
	resourceVersion string
	writtenAt       time.Time // by the clock of the writer, to the second; zero if not known
}

// entryOf reads a record's metadata; false if it is not a record of Helm's.
func entryOf(item meta.PartialObjectMetadata) (Entry, bool) {
	revision, err := strconv.Atoi(item.Labels[labelVersion])
	if err != nil || item.Name != recordName(item.Labels[labelName], revision) {
		return Entry{}, false
	}
	entry := Entry{name: item.Name, Revision: revision, Status: helmrelease.Status(item.Labels[labelStatus]), labels: item.Labels, resourceVersion: item.ResourceVersion}
	for _, label := range []string{labelModified, labelCreated} {
		if seconds, err := strconv.ParseInt(item.Labels[label], 10, 64); err == nil {
			entry.writtenAt = time.Unix(seconds, 0)
			break
		}
	}
	return entry, true
}

// InProgress reports whether the revision is being changed, or was left like that by a run that was killed.
func (e Entry) InProgress() bool { return InProgress(e.Status) }

// mark returns the mark that the record has. Marks returns the one that counts.
func (e Entry) mark() release.Mark { return release.ParseMark(e.labels[release.LabelMark], e.Revision) }

// statusIsOurs reports whether this pipeline wrote the status that the revision has now.
func (e Entry) statusIsOurs() bool { return e.labels[statusLabel] == statusValue(e.Revision, e.Status) }

// createdByUs reports whether this pipeline created the revision.
func (e Entry) createdByUs() bool { return e.labels[createdLabel] == strconv.Itoa(e.Revision) }

// partial returns as much of the revision as Helm needs to count it.
func (e Entry) partial(release string) *helmrelease.Release {
	return &helmrelease.Release{Name: release, Version: e.Revision, Info: &helmrelease.Info{Status: e.Status}, Labels: customLabels(e.labels)}
}

// InProgress reports whether a status is one of a release that is being changed.
func InProgress(status helmrelease.Status) bool {
	return status.IsPending() || status == helmrelease.StatusUninstalling
}
