package release

// Keys of annotations and labels.
const (
	// Keys of the OCI image-spec, annotations.md, "Pre-Defined Annotation Keys".
	AnnotationRevision = "org.opencontainers.image.revision"
	AnnotationSource   = "org.opencontainers.image.source"
	AnnotationCreated  = "org.opencontainers.image.created"

	// AnnotationRecipe contains the settings that an image was built with, as RecipeSettings.Encode writes them.
	AnnotationRecipe = "onedigest.dev/recipe"
	// AnnotationInputs is a hash of everything that an image was built from besides its recipe: two commits with the same one and the
	// same recipe have the same image.
	AnnotationInputs = "onedigest.dev/inputs"
	// AnnotationToolchain names the Go toolchain that compiled an image, as "go1.26.8".
	AnnotationToolchain = "onedigest.dev/toolchain"

	// Keys on the Kubernetes objects of a release.
	LabelRelease     = "onedigest.dev/release" // the release's name, on workloads that run a built image, their pods, and Services that select these
	LabelCommit      = "onedigest.dev/commit"
	LabelEnvironment = "onedigest.dev/environment"
	AnnotationDigest = "onedigest.dev/digest"
	AnnotationRun    = "onedigest.dev/run"
	AnnotationActor  = "onedigest.dev/actor"

	// LabelPreview is the number of the pull request whose preview a namespace is. Only a namespace that was created with it is ever deleted.
	LabelPreview = "onedigest.dev/preview"
	// Annotations of such a namespace: the repository on GitHub, and when the preview expires (RFC 3339). Its release is in LabelRelease.
	AnnotationPreviewOf = "onedigest.dev/preview-of"
	AnnotationExpires   = "onedigest.dev/expires"

	// Annotations of a custom resource, or of its CustomResourceDefinition for all of its kind, that say when it is ready and when it has
	// failed. Each lists expectations in the syntax of `kubectl wait --for`, separated by commas or lines: condition=Ready,
	// condition=Degraded=False, jsonpath={.status.phase}=Running. It is ready when all of the first hold, and has failed when one of the
	// second does.
	AnnotationReadyWhen  = "onedigest.dev/ready-when"
	AnnotationFailedWhen = "onedigest.dev/failed-when"
)
