package image

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/image/base"
	"github.com/onedigest/onedigest/internal/release"
)

// defaultUser is the user of an image if neither the recipe nor the base sets one: base.User. It is a number, because Kubernetes
// cannot check runAsNonRoot against a name (SecurityContext).
var defaultUser = fmt.Sprintf("%d:%d", base.User, base.User)

// accountOf parses the recipe's user.
func accountOf(recipe release.Recipe) (account base.Account, err error) {
	_, err = fmt.Sscanf(cmp.Or(recipe.User, defaultUser), "%d:%d", &account.User, &account.Group)
	return account, err
}

// baseImage returns the image that the program's layer is put on, and its config: the recipe's base for the platform, or a layer
// of our own.
func baseImage(recipe release.Recipe, platform release.Platform) (v1.Image, v1.Config, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if recipe.Base.IsZero() {
		image, err := ownBase(image, recipe)
		return image, v1.Config{}, err
	}
	given, err := findBase(recipe.BaseLayout, platform)
	if err != nil {
		return nil, v1.Config{}, fmt.Errorf("reading base %s: %w", recipe.Base.Digest.Short(), err)
	}
	image, config, err := copyBase(image, given)
	if err != nil {
		return nil, v1.Config{}, fmt.Errorf("reading base %s: %w", recipe.Base.Digest.Short(), err)
	}
	return image, config, nil
}

// ownLayer writes the base layer that all images with the same user share.
func ownLayer(recipe release.Recipe) (v1.Layer, error) {
	account, err := accountOf(recipe)
	if err != nil {
		return nil, fmt.Errorf("reading user %q: %w", recipe.User, err)
	}
	var content bytes.Buffer
	if err := base.WriteLayer(&content, account); err != nil {
		return nil, fmt.Errorf("writing the base layer: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// ownBase adds the layer that images without a base share.
func ownBase(image v1.Image, recipe release.Recipe) (v1.Image, error) {
	layer, err := ownLayer(recipe)
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: time.Unix(0, 0).UTC()}, CreatedBy: "onedigest build", Comment: base.Comment}})
}

// findBase returns the base's image for a platform from the downloaded layout.
func findBase(from release.Layout, platform release.Platform) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(from.Dir)
	if err != nil {
		return nil, err
	}
	entries, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range entries.Manifests {
		if entry.Platform != nil && entry.Platform.Equals(*ociPlatform(platform)) {
			return index.Image(entry.Digest)
		}
	}
	return nil, fmt.Errorf("it has no image for %q", platform)
}

// ociMediaTypes maps the media types of Docker's layers to OCI's types for the same bytes (OCI image-spec, media-types.md,
// "Compatibility Matrix").
var ociMediaTypes = map[types.MediaType]types.MediaType{
	types.DockerLayer: types.OCILayer, types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.OCILayer: types.OCILayer, types.OCIUncompressedLayer: types.OCIUncompressedLayer, types.OCILayerZStd: types.OCILayerZStd,
}

// copyBase adds the layers of a base to an image. The config is the base's, without the fields that describe the base itself, its
// program and its health check.
func copyBase(image, given v1.Image) (v1.Image, v1.Config, error) {
	file, err := given.ConfigFile()
	if err != nil {
		return nil, v1.Config{}, err
	}
	layers, err := given.Layers()
	if err != nil {
		return nil, v1.Config{}, err
	}
	var history []v1.History
	for _, entry := range file.History {
		if !entry.EmptyLayer {
			history = append(history, entry)
		}
	}
	for i, layer := range layers {
		named, err := layer.MediaType()
		if err != nil {
			return nil, v1.Config{}, err
		}
		mediaType, known := ociMediaTypes[named]
		if !known {
			return nil, v1.Config{}, fmt.Errorf("a layer has media type %q, which the go builder cannot put into an OCI image", named)
		}
		addendum := mutate.Addendum{Layer: layer, MediaType: mediaType}
		if len(history) == len(layers) {
			addendum.History = history[i]
		}
		if image, err = mutate.Append(image, addendum); err != nil {
			return nil, v1.Config{}, err
		}
	}
	config := *file.Config.DeepCopy()
	config.Entrypoint, config.Cmd, config.OnBuild, config.Healthcheck, config.Image, config.Hostname = nil, nil, nil, nil, "", ""
	maps.DeleteFunc(config.Labels, func(name, _ string) bool {
		return strings.HasPrefix(name, "org.opencontainers.image.") || strings.HasPrefix(name, "onedigest.dev/")
	})
	return image, config, nil
}

// configOf returns the config of an image, based on the config of its base image.
func configOf(recipe release.Recipe, below v1.Config, name string) v1.Config {
	config := below
	config.Entrypoint = []string{"/" + programDir + "/" + name}
	config.Env = withProgramDir(below.Env)
	config.User = cmp.Or(recipe.User, below.User, defaultUser)
	config.WorkingDir = cmp.Or(recipe.WorkingDir, below.WorkingDir, "/")
	config.Labels = map[string]string{}
	maps.Copy(config.Labels, below.Labels)
	maps.Copy(config.Labels, labelsOf(recipe))
	return config
}

// withProgramDir puts the program's directory at the front of PATH.
func withProgramDir(environ []string) []string {
	const path = "PATH=/" + programDir
	result := []string{path}
	for _, pair := range environ {
		if rest, found := strings.CutPrefix(pair, "PATH="); found {
			result[0] = path + ":" + rest
			continue
		}
		result = append(result, pair)
	}
	return result
}
