// Package sbom lists what a built image contains: the Go programs in its layers, with the modules that the linker recorded in them, and the layers
// themselves by their digests. It lists no packages of an operating system and nothing of other languages, and its documents say so.
package sbom

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/uuid"
	"github.com/package-url/packageurl-go"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Covers says in each document what it lists.
const Covers = "Go programs with the modules that the linker recorded in them, and layers by their digests; no packages of an operating system, and nothing of other languages"

// propertyCovers and the others are names of properties, in our namespace.
const (
	propertyCovers   = "onedigest:covers"
	propertyPlatform = "onedigest:platform"
	propertyPath     = "onedigest:path"
	propertyReplaces = "onedigest:replaces"
	propertyLocal    = "onedigest:replaced-by-directory"
)

// Subject is what a layout holds.
type Subject struct {
	Name    string         // last part of the repository's path
	Created time.Time      // the commit's, which is the document's time
	Commit  release.Commit // of all programs; "" if some may be of other sources
	Base    release.Image  // below the programs; zero if there is none, or it is unknown
}

// ErrNothing says that an image has no Go program, so that a document would list nothing but layers.
var ErrNothing = errors.New("no Go program is in its layers")

// List returns the document of an image, or of all images of an index. The same layout and subject give the same bytes. scratch is a directory for one
// file at a time. An image without a Go program is ErrNothing.
func List(ctx context.Context, layout release.Layout, of Subject, scratch string) (fact.SBOM, time.Time, error) {
	images, index, err := open(layout)
	if err != nil {
		return fact.SBOM{}, time.Time{}, fmt.Errorf("listing the contents of %s: %w", layout.Digest.Short(), err)
	}
	document := newDocument(layout.Digest, of)
	programs := 0
	for _, image := range images {
		found, err := document.add(ctx, image, index, of, scratch)
		if err != nil {
			return fact.SBOM{}, time.Time{}, fmt.Errorf("listing the contents of %s: %w", layout.Digest.Short(), err)
		}
		programs += found
	}
	if programs == 0 {
		return fact.SBOM{}, time.Time{}, ErrNothing
	}
	return document.encode()
}

// open returns the images of a layout with one entry, and whether that is an index.
func open(layout release.Layout) (images []v1.Image, isIndex bool, err error) {
	root, err := ocilayout.ImageIndexFromPath(layout.Dir)
	if err != nil {
		return nil, false, err
	}
	hash, err := v1.NewHash(layout.Digest.String())
	if err != nil {
		return nil, false, err
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, false, err
	}
	if !slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool { return d.Digest == hash && d.MediaType.IsIndex() }) {
		image, err := root.Image(hash)
		return []v1.Image{image}, false, err
	}
	index, err := root.ImageIndex(hash)
	if err != nil {
		return nil, false, err
	}
	if manifest, err = index.IndexManifest(); err != nil {
		return nil, false, err
	}
	for _, child := range manifest.Manifests {
		if child.MediaType != types.OCIManifestSchema1 && child.MediaType != types.DockerManifestSchema2 {
			return nil, false, fmt.Errorf("its index has an entry of type %.100q", child.MediaType)
		}
		image, err := index.Image(child.Digest)
		if err != nil {
			return nil, false, err
		}
		images = append(images, image)
	}
	return images, true, nil
}

// document is a BOM in the making.
type document struct {
	bom        *cdx.BOM
	root       string // reference of the image or index
	components map[string]cdx.Component
	depends    map[string][]string
	programs   []cdx.BOMReference
}

func newDocument(digest release.Digest, of Subject) *document {
	d := &document{bom: cdx.NewBOM(), root: digest.String(), components: map[string]cdx.Component{}, depends: map[string][]string{}}
	d.bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://onedigest.dev/sbom/"+digest.String())).URN()
	subject := container(of.Name, digest.String())
	d.bom.Metadata = &cdx.Metadata{
		Timestamp:  of.Created.UTC().Format(time.RFC3339),
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhasePostBuild}},
		Tools:      &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "onedigest"}}},
		Component:  &subject,
		Properties: &[]cdx.Property{{Name: propertyCovers, Value: Covers}},
	}
	return d
}

// container describes an image by its digest. Source: package-url, types-doc/oci-definition.
func container(name, digest string) cdx.Component {
	return cdx.Component{BOMRef: digest, Type: cdx.ComponentTypeContainer, Name: name, Version: digest, Hashes: sha256(digest),
		PackageURL: packageurl.NewPackageURL(packageurl.TypeOCI, "", name, digest, nil, "").String()}
}

// sha256 returns a digest as a hash; nil for a digest of another algorithm.
func sha256(digest string) *[]cdx.Hash {
	value, found := strings.CutPrefix(digest, "sha256:")
	if !found {
		return nil
	}
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: value}}
}

// put adds a component that another one contains or needs.
func (d *document) put(of string, component cdx.Component) {
	d.components[component.BOMRef] = component
	d.depends[of] = append(d.depends[of], component.BOMRef)
}

// add lists one image, and returns how many programs it has.
func (d *document) add(ctx context.Context, image v1.Image, inIndex bool, of Subject, scratch string) (int, error) {
	digest, err := image.Digest()
	if err != nil {
		return 0, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return 0, err
	}
	platform := release.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}.String()
	at := d.root
	if inIndex {
		at = digest.String()
		child := container(of.Name, at)
		child.Properties = &[]cdx.Property{{Name: propertyPlatform, Value: platform}}
		d.put(d.root, child)
	} else {
		d.bom.Metadata.Component.Properties = &[]cdx.Property{{Name: propertyPlatform, Value: platform}}
	}
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return 0, err
		}
		mediaType, err := layer.MediaType()
		if err != nil {
			return 0, err
		}
		d.put(at, cdx.Component{BOMRef: "layer:" + digest.String(), Type: cdx.ComponentTypeFile, Name: digest.String(), MIMEType: string(mediaType), Hashes: sha256(digest.String())})
	}
	if !of.Base.IsZero() {
		d.put(at, container(path.Base(of.Base.Repository.Path()), of.Base.Digest.String()))
	}
	programs, err := findPrograms(ctx, layers, scratch)
	if err != nil {
		return 0, err
	}
	for _, program := range programs {
		d.addProgram(at, program, of.Commit)
	}
	return len(programs), nil
}

// addProgram lists a program and its modules.
func (d *document) addProgram(at string, program program, commit release.Commit) {
	main := program.info.Main
	version := main.Version
	if version == "(devel)" {
		version = ""
	}
	if commit != "" {
		version = commit.String()
	}
	reference := at + program.path
	component := cdx.Component{BOMRef: reference, Type: cdx.ComponentTypeApplication, Name: program.info.Path, Version: version, Hashes: sha256(program.digest),
		Properties: &[]cdx.Property{{Name: propertyPath, Value: program.path}}}
	if main.Path != "" {
		component.PackageURL = purlOf(main.Path, version)
	}
	d.put(at, component)
	d.programs = append(d.programs, cdx.BOMReference(reference))
	d.put(reference, moduleOf("stdlib", goVersion(program.info.GoVersion)))
	for _, module := range program.info.Deps {
		d.put(reference, linked(*module))
	}
}

// goVersion is the version of the standard library, as scanners and OSV have it: without "go" and without experiments.
func goVersion(reported string) string {
	version, _, _ := strings.Cut(strings.TrimPrefix(reported, "go"), " ")
	return version
}

func moduleOf(name, version string) cdx.Component {
	purl := purlOf(name, version)
	return cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: purl}
}

// linked describes a module as it was linked: its replacement, if there is one. The hash is that of go.sum, as other writers of CycloneDX have it.
func linked(module debug.Module) cdx.Component {
	used, properties := module, []cdx.Property(nil)
	switch {
	case module.Replace != nil && (module.Replace.Version == "" || module.Replace.Version == "(devel)"): // a directory
		properties = []cdx.Property{{Name: propertyLocal, Value: "true"}}
	case module.Replace != nil:
		used = *module.Replace
		properties = []cdx.Property{{Name: propertyReplaces, Value: module.Path + "@" + module.Version}}
	}
	component := moduleOf(used.Path, used.Version)
	if properties != nil {
		component.Properties = &properties
		component.BOMRef += "#" + properties[0].Name + "=" + properties[0].Value
	}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(used.Sum, "h1:")); err == nil && len(sum) == 32 && properties == nil {
		component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return component
}

// purlOf returns the package URL of a Go module. Source: package-url, types-doc/golang-definition.
func purlOf(module, version string) string {
	namespace, name := path.Split(module)
	return packageurl.NewPackageURL(packageurl.TypeGolang, strings.TrimSuffix(namespace, "/"), name, version, nil, "").String()
}

// encode completes the document. What it lists is in the order of the references.
func (d *document) encode() (fact.SBOM, time.Time, error) {
	components := []cdx.Component{}
	for _, reference := range sortedKeys(d.components) {
		components = append(components, d.components[reference])
	}
	dependencies := []cdx.Dependency{}
	for _, reference := range sortedKeys(d.depends) {
		on := slices.Compact(slices.Sorted(slices.Values(d.depends[reference])))
		dependencies = append(dependencies, cdx.Dependency{Ref: reference, Dependencies: &on})
	}
	slices.Sort(d.programs)
	d.bom.Components, d.bom.Dependencies = &components, &dependencies
	d.bom.Compositions = &[]cdx.Composition{
		{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(d.root)}},
		{Aggregate: cdx.CompositionAggregateComplete, Dependencies: &d.programs},
	}
	var encoded strings.Builder
	if err := cdx.NewBOMEncoder(&encoded, cdx.BOMFileFormatJSON).Encode(d.bom); err != nil {
		return fact.SBOM{}, time.Time{}, err
	}
	return fact.NewSBOM([]byte(encoded.String()))
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
