package helm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// How Helm keeps a revision. Source: helm.sh/helm/v3, pkg/storage/driver/secrets.go and util.go.
const (
	recordKey  = "release"
	recordType = core.SecretType("helm.sh/release.v1")

	labelName     = "name"
	labelOwner    = "owner"
	labelStatus   = "status"
	labelVersion  = "version"
	labelCreated  = "createdAt"
	labelModified = "modifiedAt"
)

var systemLabels = []string{labelName, labelOwner, labelStatus, labelVersion, labelCreated, labelModified}

// Labels of our own on a record. Helm's command carries all labels of a revision over to the next one, and rewrites a record's
// status without touching them: so each of ours names what it is said of, and counts only where that is so.
const (
	stateLabel    = "onedigest.dev/record"   // REVISION.STATUS: this pipeline wrote this status of this revision
	verifiedLabel = "onedigest.dev/verified" // REVISION: its rollout was watched to readiness
	runLabel      = "onedigest.dev/run"      // of the run that made the revision
)

// maxRecord bounds a revision unpacked, in bytes. As a Secret it has at most 1 MiB.
const maxRecord = 64 << 20

// author is who makes a revision.
type author struct{ runURL, actor string }

var runPath = regexp.MustCompile(`/actions/runs/([0-9]{1,20})(?:/|$)`)

// label is the author as a label's value: the run's number, or else a part of the URL's hash.
func (a author) label() string {
	if match := runPath.FindStringSubmatch(a.runURL); match != nil {
		return match[1]
	}
	if a.runURL == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(a.runURL))
	return hex.EncodeToString(sum[:8])
}

// fill puts a revision into its Secret.
func fill(secret *core.Secret, kept *helmrelease.Release, content []byte) {
	secret.Data = map[string][]byte{recordKey: content}
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, map[string]string{
		labelName: kept.Name, labelOwner: "helm", labelStatus: kept.Info.Status.String(), labelVersion: strconv.Itoa(kept.Version),
		stateLabel: state(kept.Version, kept.Info.Status),
	})
}

func state(revision int, status helmrelease.Status) string {
	return fmt.Sprintf("%d.%s", revision, status)
}

// encoded packs a revision. Whatever Helm has put into its description, others read it as one line.
func encoded(kept *helmrelease.Release) ([]byte, error) {
	kept.Info.Description = told(kept.Info.Description)
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("writing revision %d of release %q: %w", kept.Version, kept.Name, err)
	}
	var packed bytes.Buffer
	out, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(text); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, packed.Bytes()), nil
}

// decoded reads a record; before Helm 3 packed them they were plain JSON.
func decoded(content []byte) (*helmrelease.Release, error) {
	text, err := base64.StdEncoding.AppendDecode(nil, content)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte{0x1f, 0x8b, 0x08}) {
		in, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		if text, err = io.ReadAll(io.LimitReader(in, maxRecord+1)); err != nil {
			return nil, err
		}
		if len(text) > maxRecord {
			return nil, fmt.Errorf("it unpacks to more than %d bytes", maxRecord)
		}
	}
	kept := new(helmrelease.Release)
	if err := json.Unmarshal(text, kept); err != nil {
		return nil, err
	}
	if kept.Name == "" || kept.Info == nil || kept.Version < 1 {
		return nil, errors.New("it is no record of a release")
	}
	return kept, nil
}

// ownLabels are a record's labels without those that Helm sets itself.
func ownLabels(all map[string]string) map[string]string {
	own := maps.Clone(all)
	for _, name := range systemLabels {
		delete(own, name)
	}
	if own == nil {
		own = map[string]string{}
	}
	return own
}

// head is what a record's metadata tell of a revision, without reading it.
type head struct {
	key             string
	revision        int
	status          helmrelease.Status
	labels          map[string]string
	resourceVersion string
	written         time.Time // by the clock of who wrote it, to the second; zero if not known
}

// ours tells whether this pipeline wrote the status that the revision has now.
func (h head) ours() bool { return h.labels[stateLabel] == state(h.revision, h.status) }

// made tells whether this pipeline began the revision.
func (h head) made() bool {
	return strings.HasPrefix(h.labels[stateLabel], strconv.Itoa(h.revision)+".")
}

func (h head) verified() bool { return h.labels[verifiedLabel] == strconv.Itoa(h.revision) }

// shallow is as much of a revision as Helm needs to count it.
func (h head) shallow(name string) *helmrelease.Release {
	return &helmrelease.Release{Name: name, Version: h.revision, Info: &helmrelease.Info{Status: h.status}, Labels: ownLabels(h.labels)}
}

func keyOf(name string, revision int) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, name, revision)
}

// headsOf are a release's revisions, newest first.
func (r *records) headsOf(name string) ([]head, error) {
	return r.list(map[string]string{labelName: name, labelOwner: "helm"})
}

func (r *records) list(by map[string]string) ([]head, error) {
	found, err := r.heads.List(context.Background(), meta.ListOptions{LabelSelector: labels.SelectorFromSet(by).String()})
	if err != nil {
		return nil, err
	}
	heads := make([]head, 0, len(found.Items))
	for _, item := range found.Items {
		if one, is := headOf(item); is {
			heads = append(heads, one)
		}
	}
	slices.SortFunc(heads, func(a, b head) int { return b.revision - a.revision })
	return heads, nil
}

func headOf(item meta.PartialObjectMetadata) (head, bool) {
	revision, err := strconv.Atoi(item.Labels[labelVersion])
	if err != nil || item.Name != keyOf(item.Labels[labelName], revision) {
		return head{}, false
	}
	one := head{key: item.Name, revision: revision, status: helmrelease.Status(item.Labels[labelStatus]), labels: item.Labels, resourceVersion: item.ResourceVersion}
	for _, label := range []string{labelModified, labelCreated} {
		if seconds, err := strconv.ParseInt(item.Labels[label], 10, 64); err == nil {
			one.written = time.Unix(seconds, 0)
			break
		}
	}
	return one, true
}

// readAtOnce bounds how many records are read side by side.
const readAtOnce = 5

// read reads revisions whole, in the given order. One that is gone meanwhile is left out.
func (r *records) read(heads []head) ([]*helmrelease.Release, error) {
	secrets := make([]*core.Secret, len(heads))
	var group errgroup.Group
	group.SetLimit(readAtOnce)
	for i, head := range heads {
		if known := r.seen[head.key]; known != nil && known.ResourceVersion == head.resourceVersion && head.resourceVersion != "" {
			secrets[i] = known
			continue
		}
		group.Go(func() (err error) {
			secrets[i], err = r.secrets.Get(context.Background(), head.key, meta.GetOptions{})
			if apierrors.IsNotFound(err) {
				secrets[i], err = nil, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var found []*helmrelease.Release
	for _, secret := range secrets {
		if secret == nil {
			continue
		}
		one, err := r.taken(secret)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}
