package setting

// DefaultChecks is the file of smoke checks of the only service of a repository, where init writes it.
const DefaultChecks = "deploy/checks.yaml"

// The words that a setting for a file of smoke checks takes instead of a file. A file of that name is given as ./default or ./probe.
const (
	ChecksByDefault = "default" // DefaultChecks if it exists, else the request of the pods' readiness probe
	ChecksByProbe   = "probe"   // the request of the pods' readiness probe
)

// IsChecksFile reports whether a setting for smoke checks names a file.
func IsChecksFile(text string) bool {
	return text != "" && text != ChecksByDefault && text != ChecksByProbe
}
