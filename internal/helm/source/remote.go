package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"
)

const ociScheme = "oci://"

// maxIndex is the largest index of a chart repository that is read, in bytes.
const maxIndex = 32 << 20

// openOCI reads a chart from a registry: oci://host/repository with :version, with @digest, or with --chart-version.
func (f *Finder) openOCI(ctx context.Context, ref release.ChartRef) (origin, error) {
	repository, reference, err := parseOCI(ref.Chart, ref.Version)
	if err != nil {
		return origin{}, release.BadSetting(settingChart, err.Error(), "write it as oci://host/repository:version, or with @sha256:…")
	}
	packed, err := f.pull(ctx, repository, reference)
	if err != nil {
		return origin{}, err
	}
	return unpacked(ref.Chart, packed)
}

// pull reads a package from a registry.
func (f *Finder) pull(ctx context.Context, repository release.Repository, reference string) ([]byte, error) {
	read := func() (packed, manifest []byte, err error) {
		return f.options.Registry.Chart(ctx, repository, reference, chart.MaxBytes)
	}
	if digest, err := release.ParseDigest(reference); err == nil {
		return f.cache.fetchPinned(digest, read)
	}
	return f.cache.fetch(fmt.Sprintf("oci://%s %s", repository, reference), func() ([]byte, error) {
		packed, _, err := read()
		return packed, err
	})
}

// parseOCI splits the address of a chart. A version's + is _ in a tag, as Helm writes it, because a tag has no +.
func parseOCI(address, version string) (release.Repository, string, error) {
	name := strings.TrimPrefix(address, ociScheme)
	name, digest, byDigest := strings.Cut(name, "@")
	last := strings.LastIndexByte(name, '/')
	tag, nothing := "", release.Repository("")
	if colon := strings.LastIndexByte(name, ':'); colon > last {
		name, tag = name[:colon], name[colon+1:]
	}
	switch {
	case byDigest && (tag != "" || version != ""), tag != "" && version != "":
		return nothing, "", fmt.Errorf("%q is given with two versions", address)
	case !byDigest && tag == "" && version == "":
		return nothing, "", fmt.Errorf("%q names no version", address)
	}
	repository, err := release.ParseRepository(name)
	if err != nil {
		return nothing, "", err
	}
	if byDigest {
		parsed, err := release.ParseDigest(digest)
		return repository, parsed.String(), err
	}
	parsed, err := release.ParseTag(strings.ReplaceAll(tag+version, "+", "_"))
	return repository, parsed.String(), err
}

// openRepository reads a version of a chart from a chart repository.
func (f *Finder) openRepository(ctx context.Context, ref release.ChartRef) (origin, error) {
	switch {
	case ref.Chart == "" || strings.ContainsAny(ref.Chart, "/:"):
		return origin{}, release.BadSetting(settingChart, fmt.Sprintf("%q is not the name of a chart in %q", ref.Chart, ref.Repository), "give the chart's name")
	case ref.Version == "":
		return origin{}, release.BadSetting(settingVersion, "is missing", "give the version: which one is the newest changes")
	}
	packed, err := f.download(ctx, ref.Repository, ref.Chart, ref.Version, true)
	if err != nil {
		return origin{}, unreachable(err, "fetching chart %q %s from %q", ref.Chart, ref.Version, ref.Repository)
	}
	return unpacked(ref.Chart, packed)
}

// download reads a version of a chart from a repository, and checks the digest that its index gives. The user has named the repository if trusted is
// set, else a chart has.
func (f *Finder) download(ctx context.Context, repository, name, version string, trusted bool) ([]byte, error) {
	if strings.HasPrefix(repository, ociScheme) {
		address := strings.TrimSuffix(repository, "/") + "/" + name
		at, reference, err := parseOCI(address, version)
		if err != nil {
			return nil, release.BadSetting(settingChart, err.Error(), "correct the repository in Chart.yaml")
		}
		if !trusted {
			if err := f.web.checkResolved(ctx, at.Host()); err != nil {
				return nil, err
			}
		}
		return f.pull(ctx, at, reference)
	}
	return f.cache.fetch(fmt.Sprintf("%s %s %s", repository, name, version), func() ([]byte, error) {
		return f.downloadIndexed(ctx, repository, name, version, trusted)
	})
}

// downloadIndexed reads a version of a chart from a repository with an index.
func (f *Finder) downloadIndexed(ctx context.Context, repository, name, version string, trusted bool) ([]byte, error) {
	base := strings.TrimSuffix(repository, "/") + "/"
	content, err := f.web.get(ctx, base+"index.yaml", maxIndex, trusted)
	if err != nil {
		return nil, err
	}
	index := &repo.IndexFile{}
	if err := yaml.Unmarshal(content, index); err != nil {
		return nil, fmt.Errorf("the index of %q is not YAML: %w", repository, errors.New(text.Line(err.Error(), text.NoLimit)))
	}
	at := slices.IndexFunc(index.Entries[name], func(entry *repo.ChartVersion) bool {
		return entry != nil && entry.Metadata != nil && strings.TrimPrefix(entry.Version, "v") == strings.TrimPrefix(version, "v")
	})
	if at < 0 || len(index.Entries[name][at].URLs) == 0 {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("repository %q has no chart %q of version %q", repository, name, version), "check the name and the version")
	}
	entry := index.Entries[name][at]
	parsed, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	address, err := parsed.Parse(entry.URLs[0])
	if err != nil {
		return nil, fmt.Errorf("the address of chart %q in %q is malformed", name, repository)
	}
	packed, err := f.web.get(ctx, address.String(), chart.MaxBytes, trusted && address.Host == parsed.Host)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(packed)
	if got := hex.EncodeToString(sum[:]); entry.Digest != "" && strings.TrimPrefix(entry.Digest, "sha256:") != got {
		return nil, release.BadSetting(settingChart, fmt.Sprintf("chart %q %s of %q has digest sha256:%s, and the repository's index says %s", name, version, repository, got, text.Line(entry.Digest, 100)),
			"do not deploy it: what is served is not what was published")
	}
	return packed, nil
}
