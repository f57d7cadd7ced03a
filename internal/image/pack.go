package image

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/onedigest/onedigest/internal/image/static"
	"github.com/onedigest/onedigest/internal/release"
)

// programDir is the directory of the program in the image.
const programDir = "app"

// pack builds the image: the program's layer on its base image.
func pack(recipe release.Recipe, platform release.Platform, name, binary string) (v1.Image, error) {
	layer, err := newLayer(name, binary, recipe.Source.Created)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: recipe.Source.Created.UTC()}
	below, inherited, err := baseImage(recipe, platform)
	if err != nil {
		return nil, err
	}
	history := v1.History{Created: created, CreatedBy: "onedigest build"}
	layers := []mutate.Addendum{{Layer: layer, MediaType: types.OCILayer, History: history}}
	if len(recipe.Files) > 0 {
		files, err := filesLayer(recipe, binary)
		if err != nil {
			return nil, err
		}
		layers = append(layers, mutate.Addendum{Layer: files, MediaType: types.OCILayer, History: history})
	}
	image, err := mutate.Append(below, layers...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = created
	config.Config = configOf(recipe, inherited, name)
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return annotate(image, recipe), nil
}

// annotate adds the annotations to an image or an index.
func annotate[T partial.WithRawManifest](of T, recipe release.Recipe) T {
	return mutate.Annotations(of, annotationsOf(recipe)).(T) //nolint:errcheck // mutate.Annotations returns the type that it was given
}

// filesLayer writes the layer with the recipe's files next to the binary.
func filesLayer(recipe release.Recipe, binary string) (v1.Layer, error) {
	file := binary + ".files.tar.gz"
	if err := static.Write(file, recipe.Context, recipe.Files, recipe.Source.Created); err != nil {
		return nil, fmt.Errorf("writing %q: %w", file, err)
	}
	return tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayer))
}

// newLayer writes the layer next to the binary: two entries, owned by root, with the commit's time.
func newLayer(name, binary string, created time.Time) (v1.Layer, error) {
	file := binary + ".tar.gz"
	if err := writeLayer(file, name, binary, created.UTC()); err != nil {
		return nil, fmt.Errorf("writing %q: %w", file, err)
	}
	return tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayer))
}

// writeLayer writes a layer, a gzipped tar, with the program's directory and the binary.
func writeLayer(file, name, binary string, created time.Time) (err error) {
	source, err := os.Open(binary) // #nosec G304 -- the compiler's output
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	layer, err := os.Create(file) // #nosec G304 -- in our own scratch directory
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := layer.Close(); err == nil {
			err = closeErr
		}
	}()
	buffered := bufio.NewWriterSize(layer, 1<<20)
	zipped := gzip.NewWriter(buffered) // a module's, pinned, unlike that of the Go that compiled this program; its header holds no time and no name
	archived := tar.NewWriter(zipped)
	directory := tar.Header{Typeflag: tar.TypeDir, Name: programDir + "/", Mode: 0o755, ModTime: created, Format: tar.FormatUSTAR}
	program := tar.Header{Typeflag: tar.TypeReg, Name: programDir + "/" + name, Mode: 0o755, Size: info.Size(), ModTime: created}
	if err := archived.WriteHeader(&directory); err != nil {
		return err
	}
	if err := archived.WriteHeader(&program); err != nil {
		return err
	}
	if _, err := io.Copy(archived, source); err != nil {
		return err
	}
	for _, finish := range []func() error{archived.Close, zipped.Close, buffered.Flush} {
		if err := finish(); err != nil {
			return err
		}
	}
	return nil
}

// writeLayout writes a single image directly, and several images as an index.
func writeLayout(dir string, recipe release.Recipe, platforms []release.Platform, images []v1.Image) (release.Layout, error) {
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return release.Layout{}, fmt.Errorf("writing an OCI layout to %q: %w", dir, err)
	}
	if len(images) == 1 {
		if err := path.AppendImage(images[0]); err != nil {
			return release.Layout{}, fmt.Errorf("writing the image to %q: %w", dir, err)
		}
		return readLayout(dir)
	}
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: ociPlatform(platforms[i])}})
	}
	if err := path.AppendIndex(annotate(index, recipe)); err != nil {
		return release.Layout{}, fmt.Errorf("writing the index to %q: %w", filepath.Base(dir), err)
	}
	return readLayout(dir)
}
