package release

// Keys of the annotations and labels that an image and the objects of a release carry.
const (
	// Keys of the OCI image-spec, annotations.md, "Pre-Defined Annotation Keys".
	AnnotationRevision = "org.opencontainers.image.revision"
	AnnotationSource   = "org.opencontainers.image.source"
	AnnotationCreated  = "org.opencontainers.image.created"

	// Keys on Kubernetes objects.
	LabelCommit      = "onedigest.dev/commit"
	LabelEnvironment = "onedigest.dev/environment"
	AnnotationDigest = "onedigest.dev/digest"
	AnnotationRun    = "onedigest.dev/run"
	AnnotationActor  = "onedigest.dev/actor"
)
