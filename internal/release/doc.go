// Package release holds the domain types of the pipeline and their rules: commits, digests, images, environments, evidence,
// outcomes and errors. It imports the standard library only and touches no network, cluster or file.
package release
