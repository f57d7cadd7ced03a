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

// This pipeline's own labels on a record. The helm command copies all labels to the next revision, and changes a record's status
// without changing them. Therefore each value contains the number of its revision, and counts for that revision only.
// release.LabelMark is such a label too.
const (
	statusLabel  = "onedigest.dev/record"  // REVISION.STATUS: this pipeline wrote this status of the revision
	createdLabel = "onedigest.dev/created" // REVISION: this pipeline created the revision
	runLabel     = "onedigest.dev/run"     // the run that created the revision
)

// Author says who creates a revision.
type Author struct{ RunURL, Actor string }

var runPath = regexp.MustCompile(`/actions/runs/([0-9]{1,20})(?:/|$)`)

// label returns the author as a label value: the number of the run, or part of the URL's hash; "" without a URL.
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

// Entry is a revision by the metadata of its record. Its content is not read.
type Entry struct {
	Revision int
	Status   helmrelease.Status

	name            string // of the Secret
	labels          map[string]string
	resourceVersion string
	writtenAt       time.Time // by the writer's clock, in whole seconds; zero if unknown
}

// entryOf parses a record's metadata; false if it is not a record of Helm's.
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

// InProgress reports whether the revision is being changed, or was left pending by a run that was killed.
func (e Entry) InProgress() bool { return InProgress(e.Status) }

// mark returns the mark on the record. Marks also considers rollbacks by another Helm client.
func (e Entry) mark() release.Mark { return release.ParseMark(e.labels[release.LabelMark], e.Revision) }

// statusIsOurs reports whether this pipeline wrote the revision's current status.
func (e Entry) statusIsOurs() bool { return e.labels[statusLabel] == statusValue(e.Revision, e.Status) }

// createdByUs reports whether this pipeline created the revision.
func (e Entry) createdByUs() bool { return e.labels[createdLabel] == strconv.Itoa(e.Revision) }

// metadataOnly returns the revision without its chart and manifest: enough for Helm to number the next revision and to prune old ones.
func (e Entry) metadataOnly(release string) *helmrelease.Release {
	return &helmrelease.Release{Name: release, Version: e.Revision, Info: &helmrelease.Info{Status: e.Status}, Labels: customLabels(e.labels)}
}

// InProgress reports whether a status means that the release is being changed.
func InProgress(status helmrelease.Status) bool {
	return status.IsPending() || status == helmrelease.StatusUninstalling
}
