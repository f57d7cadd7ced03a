package gitops

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"go.yaml.in/yaml/v3"
)

// LockFile is the file beside rendered manifests that says what they run. Its changes are the release's revisions. A controller does not apply it, by its name: Argo CD applies *.yaml, *.yml and
// *.json of a directory, and so does Flux.
const LockFile = "onedigest.lock"

// lockHead begins a lock file.
const lockHead = "# What the manifests beside this file run. A deploy writes both; change the chart or its values instead.\n"

// rendered are the manifests of a release, one file for each object, with their lock file.
type rendered struct {
	files configrepo.Files
	kinds map[string]string // the objects' kinds and names by their files, for a plan
}

// lock is what a lock file has; the digests are read by their paths.
type lock struct {
	Files []string `yaml:"files"`
	Sum   string   `yaml:"sum"`
}

// imageName replaces what would divide a path of values.
var imageName = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// LockKeys returns the paths of the digests of images in a lock file. Two names that differ only by punctuation are an *release.InputError.
func LockKeys(images []release.BuiltImage) (map[string]string, error) {
	keys, seen := map[string]string{}, map[string]bool{}
	for _, image := range images {
		key := "image.digest"
		if image.Name != "" {
			key = "images." + imageName.ReplaceAllString(image.Name, "_") + ".digest"
		}
		if seen[key] {
			return nil, release.BadSetting("image", fmt.Sprintf("%q differs from another image's name by punctuation only", image.Name), "give the images other names")
		}
		keys[image.Name], seen[key] = key, true
	}
	return keys, nil
}

// render renders the manifests that are committed: without what differs from run to run, as the same images and values have to make the same files.
func (r *Release) render(ctx context.Context, deployment release.Deployment) (release.Rendering, error) {
	deployment.RunURL, deployment.Actor = "", ""
	deployment.HideSecrets = true // nothing that is read of a Secret may be committed
	rendering, err := r.Renderer.Render(ctx, deployment)
	if err != nil {
		return rendering, err
	}
	if err := checkHooks(rendering.Kinds); err != nil {
		return rendering, err
	}
	if slices.ContainsFunc(rendering.Kinds, func(kind release.AppliedKind) bool {
		return kind.Use == release.UseCreate || kind.Use == release.UseCRD
	}) {
		r.Warn("the chart has a directory crds, whose definitions are not committed: the cluster has to have them")
	}
	found, err := split(rendering.Manifest, deployment.Namespace)
	if err != nil {
		return rendering, err
	}
	if err := r.checkSecrets(found); err != nil {
		return rendering, err
	}
	found.files[LockFile] = r.lockFor(found.files, deployment.Images)
	r.next = found
	return rendering, nil
}

// checkSecrets refuses manifests with a secret value in an object that is no Secret, such as a variable of a container.
func (r *Release) checkSecrets(found rendered) error {
	var objects []string
	for name, content := range found.files {
		if r.HasSecret != nil && r.HasSecret(string(content)) {
			objects = append(objects, text.Line(found.kinds[name], 200))
		}
	}
	if len(objects) == 0 {
		return nil
	}
	slices.Sort(objects)
	return &release.Refusal{Why: "the chart renders a secret value into " + strings.Join(objects, ", ") + ", and no secret belongs into a git repository",
		Do: "refer to an existing Secret there, or let an ExternalSecret make it"}
}

// checkHooks refuses hooks: who applies plain manifests runs none, or runs them at another time than Helm.
func checkHooks(kinds []release.AppliedKind) error {
	var hooks []string
	for _, kind := range kinds {
		if kind.Use == release.UseHook {
			hooks = append(hooks, kind.Resource)
		}
	}
	if len(hooks) == 0 {
		return nil
	}
	slices.Sort(hooks)
	return &release.Refusal{Why: "the chart has hooks (" + strings.Join(slices.Compact(hooks), ", ") + "), which rendered manifests cannot have",
		Do: "switch them off in the values, or let Argo CD render the chart: leave config-path out, and name its values file with values"}
}

// split makes a file of each object of a manifest. It refuses Secrets.
func split(manifest, namespace string) (rendered, error) {
	type document struct{ kind, name, id, text string }
	var documents []document
	var secrets []string
	short := map[string]int{}
	for part := range strings.SplitSeq("\n"+manifest, "\n---\n") { // a manifest is written by a serializer, which indents such a line in a string
		if strings.TrimSpace(part) == "" {
			continue
		}
		var object struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
			Metadata   struct {
				Name      string `yaml:"name"`
				Namespace string `yaml:"namespace"`
			} `yaml:"metadata"`
		}
		var whole any
		if err := errors.Join(yaml.Unmarshal([]byte(part), &object), yaml.Unmarshal([]byte(part), &whole)); err != nil {
			return rendered{}, fmt.Errorf("reading a rendered object: %w", err)
		}
		name := object.Kind + "/" + object.Metadata.Name
		if isSecret(whole) || hasSecret(whole) {
			secrets = append(secrets, text.Line(name, 200))
			continue
		}
		if len(part) > configrepo.MaxFile {
			return rendered{}, &release.Refusal{Why: fmt.Sprintf("%s has more than %d bytes", text.Line(name, 200), configrepo.MaxFile), Do: "split the object, or move large data into the image or a volume"}
		}
		if object.Metadata.Namespace == "" {
			object.Metadata.Namespace = namespace
		}
		found := document{kind: name, name: fileName(object.Kind, object.Metadata.Name), text: strings.Trim(part, "\n") + "\n",
			id: strings.Join([]string{object.APIVersion, object.Kind, object.Metadata.Namespace, object.Metadata.Name}, "\x00")}
		documents = append(documents, found)
		short[found.name]++
	}
	if len(secrets) > 0 {
		slices.Sort(secrets)
		return rendered{}, &release.Refusal{Why: "the chart renders " + strings.Join(slices.Compact(secrets), ", ") + ", and a Secret does not belong into a git repository",
			Do: "switch it off in the values and let External Secrets or Sealed Secrets make it (an ExternalSecret or a SealedSecret is committed), or name an existing Secret"}
	}
	all := rendered{files: configrepo.Files{}, kinds: map[string]string{}}
	for _, each := range documents {
		name := each.name
		if short[name] > 1 { // of two namespaces or groups
			name += fmt.Sprintf("-%x", sha256.Sum256([]byte(each.id)))[:9]
		}
		all.files[name+".yaml"], all.kinds[name+".yaml"] = []byte(each.text), each.kind
	}
	return all, nil
}

// isSecret reports whether an object is a Secret of Kubernetes or a list with one.
func isSecret(value any) bool {
	object, _ := value.(map[string]any)
	items, _ := object["items"].([]any)
	return object["apiVersion"] == "v1" && (object["kind"] == "Secret" || object["kind"] == "SecretList") || slices.ContainsFunc(items, isSecret)
}

// hasSecret reports whether an object has a Secret with data anywhere in it, which a controller makes of it: Object of Crossplane, ManifestWork of Open Cluster Management, a rule of Kyverno that
// generates. What only refers to a Secret has no data.
func hasSecret(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		if isSecret(value) && (value["data"] != nil || value["stringData"] != nil || value["items"] != nil) {
			return true
		}
		for _, each := range value {
			if hasSecret(each) {
				return true
			}
		}
	case map[any]any: // with a key that is no string
		for _, each := range value {
			if hasSecret(each) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, hasSecret)
	}
	return false
}

// notInNames matches what a file's name does not have.
var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// maxName bounds the name of a file, in bytes, without its ending and the hash of one of several: file systems take 255.
const maxName = 200

// fileName names an object's file, without its ending: names of RBAC may have colons and capitals, and 253 characters.
func fileName(kind, name string) string {
	short := notInNames.ReplaceAllString(strings.ToLower(kind+"-"+name), "_")
	if len(short) > maxName {
		short = short[:maxName-9] + fmt.Sprintf("-%x", sha256.Sum256([]byte(kind+"-"+name)))[:9]
	}
	return short
}

// lockFor writes the lock file of manifests.
func (r *Release) lockFor(files configrepo.Files, images []release.BuiltImage) []byte {
	var text strings.Builder
	text.WriteString(lockHead)
	for _, image := range images {
		if image.Name == "" {
			fmt.Fprintf(&text, "image: {digest: %q}\n", image.Image.Digest)
		}
	}
	named := false
	for _, image := range images {
		if image.Name == "" {
			continue
		}
		if !named {
			text.WriteString("images:\n")
			named = true
		}
		fmt.Fprintf(&text, "  %s: {digest: %q}\n", strings.Split(r.Keys[image.Name], ".")[1], image.Image.Digest)
	}
	text.WriteString("files:\n")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "  - %q\n", name)
	}
	fmt.Fprintf(&text, "sum: %q\n", sumOf(files))
	return []byte(text.String())
}

// sumOf is the sum of manifests in their lock file, which is not one of them.
func sumOf(files configrepo.Files) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != LockFile {
			fmt.Fprintf(sum, "%s\x00%d\x00%s", name, len(files[name]), files[name])
		}
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

// replaceFiles returns a directory's files with a release's manifests in place of those that its lock file names. Other files stay; one that a controller would apply too is refused.
func (r *Release) replaceFiles(files, next configrepo.Files) (configrepo.Files, error) {
	var before lock
	if content, found := files[LockFile]; found {
		if err := yaml.Unmarshal(content, &before); err != nil {
			return nil, release.BadSetting("config-path", fmt.Sprintf("%q is not a lock file", r.file), "restore it from the branch's history, or empty the directory")
		}
	}
	var foreign []string
	for name := range files {
		switch {
		case slices.Contains(before.Files, name), name == LockFile:
			delete(files, name)
		case applied(name):
			foreign = append(foreign, text.Line(name, 200))
		}
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		return nil, release.BadSetting("config-path", fmt.Sprintf("%q has %s, which no deploy has written and Argo CD would apply too", path.Dir(r.file), strings.Join(foreign[:min(len(foreign), 10)], ", ")),
			"name a directory for the manifests of this release alone")
	}
	maps.Copy(files, next)
	return files, nil
}

// applied reports whether a controller reads a file of a directory. A file of Kustomize makes Argo CD render the directory by it. Source: argo-cd.readthedocs.io, "Directory", "Tool Detection"; kubectl.docs.kubernetes.io,
// "kustomization"; fluxcd.io, "Kustomization", "Generate kustomization.yaml".
func applied(name string) bool {
	if path.Base(name) == "Kustomization" { // kustomization.yaml and kustomization.yml have an ending
		return true
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json", ".jsonnet", ".libsonnet":
		return true
	}
	return false
}

// own returns the manifests of a directory that its lock file names, and the lock file itself. Manifests that somebody has changed, so that the lock file's sum is not theirs, are an error.
func own(files configrepo.Files) (configrepo.Files, error) {
	var names lock
	if err := yaml.Unmarshal(files[LockFile], &names); err != nil {
		return nil, err
	}
	found := configrepo.Files{LockFile: files[LockFile]}
	for _, name := range names.Files {
		content, has := files[name]
		if !has {
			return nil, fmt.Errorf("%s lists %s, which is missing from the directory", LockFile, text.Line(name, 200))
		}
		found[name] = content
	}
	if names.Sum != sumOf(found) {
		return nil, fmt.Errorf("the checksum in %s does not match the manifests: somebody has changed them", LockFile)
	}
	return found, nil
}

// filesAt returns all files of the directory in a commit. intact is false if the manifests are not those that their lock file sums up.
func (r *Release) filesAt(ctx context.Context, commit release.Commit) (files configrepo.Files, intact bool, err error) {
	if files, err = r.Repository.Files(ctx, commit, path.Dir(r.file)); err != nil {
		return nil, false, err
	}
	_, changed := own(files)
	return files, changed == nil, nil
}

// imagesIn lists the references to a repository's images in manifests, sorted, with those to a digest last.
func imagesIn(files configrepo.Files, repository release.Repository, digest release.Digest) (references []string) {
	for name, content := range files {
		if !applied(name) {
			continue
		}
		for documents := yaml.NewDecoder(bytes.NewReader(content)); ; {
			var document any
			if documents.Decode(&document) != nil {
				break
			}
			eachString(document, func(text string) {
				if found, rest := release.SplitReference(text); found == repository.String() && rest != "" {
					references = append(references, text)
				}
			})
		}
	}
	last := func(reference string) int {
		if strings.HasSuffix(reference, "@"+digest.String()) {
			return 1
		}
		return 0
	}
	slices.SortFunc(references, func(a, b string) int { return cmp.Or(cmp.Compare(last(a), last(b)), strings.Compare(a, b)) })
	return slices.Compact(references)
}

// eachString calls a function for every string in a value.
func eachString(value any, do func(string)) {
	switch value := value.(type) {
	case string:
		do(value)
	case map[string]any:
		for _, each := range value {
			eachString(each, do)
		}
	case []any:
		for _, each := range value {
			eachString(each, do)
		}
	}
}

// planFiles lists what a commit of the manifests would change.
func (r *Release) planFiles(ctx context.Context, head release.Commit) (changes []release.Change, err error) {
	files, err := r.Repository.Files(ctx, head, path.Dir(r.file))
	if err != nil {
		return nil, err
	}
	after, err := r.replaceFiles(maps.Clone(files), r.next.files)
	if err != nil {
		return nil, err
	}
	change := func(name string, action release.Action) {
		changes = append(changes, release.Change{Object: release.Object{Kind: "file", Name: path.Join(path.Dir(r.file), name)}, Action: action})
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		before, had := files[name]
		switch {
		case !had:
			change(name, release.ActionCreate)
		case !bytes.Equal(before, after[name]):
			change(name, release.ActionChange)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, stays := after[name]; !stays {
			change(name, release.ActionDelete)
		}
	}
	return changes, nil
}
