package release

// Inputs are the local files that decide what an image holds.
type Inputs struct {
	// Files are absolute paths. A path where no file is counts too, if a file there would be used: the commit must not
	// have one either.
	Files []string
	// Rules find the files that the commit has and the work tree lacks.
	Rules []InputRule
	// Links is set if symbolic links enter the image as links; otherwise the files that they lead to enter it.
	Links bool
	// Modes is set if the executable bit of a file enters the image.
	Modes bool
}

// InputRule says which files below a directory enter an image. Paths are relative to the directory, with slashes.
type InputRule struct {
	Dir    string                 // absolute
	Takes  func(path string) bool // reports whether a file with this path enters the image
	Enters func(path string) bool // reports whether files below a directory with this path may enter it
}

// Difference is an input of an image that is not what the commit has.
type Difference struct {
	Kind DifferenceKind
	Path string // relative to the build context; absolute if it is outside the work tree
	Note string // what is there instead, or ""
}

// DifferenceKind says how an input differs from the commit.
type DifferenceKind int

// The kinds of differences, in the order in which they are reported.
const (
	DifferentContent   DifferenceKind = iota // content, type or mode
	NotInCommit                              // untracked or ignored
	OutsideWorkTree                          // no commit can have it
	MissingFile                              // the commit has it, the work tree does not
	AbsentSubmodule                          // not checked out
	OtherSubmodule                           // at another commit than the one that the commit names
	UnresolvedPointer                        // a Git LFS pointer instead of the file
	UnavailableFilter                        // a filter of .gitattributes that is not set up here
	ConvertedByMachine                       // converted at checkout by a setting of this machine
	ForeignAttributes                        // converted by attributes that the commit does not have
)
