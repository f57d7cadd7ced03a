// Package release holds the words of the pipeline and their rules: what a commit, a digest, an environment and an
// outcome are, and what may follow what. It knows no network, no cluster and no file: the standard library only.
package release
