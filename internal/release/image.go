package release

// Looked is one look at an image and at a tag in its repository.
type Looked struct {
	Found     bool   // the image is in the repository
	Manifest  []byte // its manifest's or index's bytes as pushed
	MediaType string
	Revision  string // org.opencontainers.image.revision of the manifest's annotations, or ""
	TagHolds  Digest // what the tag names now; zero if the tag is free
}
