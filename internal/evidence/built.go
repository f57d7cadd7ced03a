package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// provenance is SLSA's predicate. Source: SLSA specification v1.0, provenance, "Schema". Of other build types, only what is read is here.
type provenance struct {
	BuildDefinition struct {
		BuildType          string       `json:"buildType"`
		ExternalParameters parameters   `json:"externalParameters"`
		InternalParameters *internal    `json:"internalParameters,omitempty"`
		Dependencies       []descriptor `json:"resolvedDependencies,omitempty"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata metadata `json:"metadata,omitzero"`
	} `json:"runDetails"`
}

// parameters are what a build was asked for: by onedigest, or by GitHub's workflow (workflow).
type parameters struct {
	Source    string      `json:"source,omitempty"` // URL of the repository
	Commit    string      `json:"commit,omitempty"`
	Recipe    *descriptor `json:"recipe,omitempty"`
	Platforms []string    `json:"platforms,omitempty"`
	// Workflow is of GitHub's build type. Source: actions/buildtypes, workflow/v1/README.md, "External parameters".
	Workflow *struct {
		Repository string `json:"repository"`
	} `json:"workflow,omitempty"`
}

// internal are the parameters that the builder sets itself.
type internal struct {
	Inputs string `json:"inputs,omitempty"`
	By     string `json:"by,omitempty"`
}

type metadata struct {
	InvocationID string    `json:"invocationId,omitempty"`
	StartedOn    time.Time `json:"startedOn,omitzero"`
	FinishedOn   time.Time `json:"finishedOn,omitzero"`
}

func builtPredicate(f fact.Fact) any {
	var p provenance
	p.BuildDefinition.BuildType = f.Build.Type
	p.BuildDefinition.ExternalParameters = parameters{Source: f.Build.Source, Commit: f.Commit.String(), Recipe: described("recipe", f.Build.Recipe), Platforms: f.Build.Platforms}
	if set := (internal{Inputs: f.Build.Inputs, By: f.By}); set != (internal{}) {
		p.BuildDefinition.InternalParameters = &set
	}
	source := descriptor{Digest: map[string]string{"gitCommit": f.Commit.String()}}
	if f.Build.Source != "" {
		source.URI = "git+" + f.Build.Source + "@" + f.Commit.String()
	}
	p.BuildDefinition.Dependencies = []descriptor{source}
	p.RunDetails.Builder.ID = f.Build.Builder
	p.RunDetails.Metadata = metadata{InvocationID: f.Run, StartedOn: f.Build.StartedAt.UTC(), FinishedOn: f.At.UTC()}
	return p
}

// readBuilt reads provenance of onedigest, and of other build types what they have in common: the builder, and one commit among the dependencies.
func readBuilt(predicate json.RawMessage, into *fact.Fact) error {
	var p provenance
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	asked := p.BuildDefinition.ExternalParameters
	recipe, err := optionalDigest("recipe", asked.Recipe)
	if err != nil {
		return err
	}
	into.Build = &fact.Build{Type: p.BuildDefinition.BuildType, Source: asked.Source, Builder: p.RunDetails.Builder.ID, Recipe: recipe, Platforms: asked.Platforms, StartedAt: p.RunDetails.Metadata.StartedOn}
	into.Run, into.At = p.RunDetails.Metadata.InvocationID, p.RunDetails.Metadata.FinishedOn
	if set := p.BuildDefinition.InternalParameters; set != nil && into.Build.Type == fact.BuildType {
		into.Build.Inputs, into.By = set.Inputs, set.By
	}
	if into.Build.Type != fact.BuildType {
		into.Build.Recipe, into.Build.Platforms = release.Digest{}, nil
		if asked.Workflow != nil {
			into.Build.Source = asked.Workflow.Repository
		}
	}
	if into.Commit, err = onlyCommit(p.BuildDefinition.Dependencies); err != nil {
		return err
	}
	if into.Build.Type == fact.BuildType && asked.Commit != into.Commit.String() {
		return fmt.Errorf("commit %s of the parameters contradicts %s of the dependencies", quote(asked.Commit), quote(into.Commit.String()))
	}
	return nil
}

// onlyCommit returns the commit that dependencies name, "" if they name none. Two different ones are an error.
// Source: in-toto attestation spec, v1/digest_set.md, "gitCommit".
func onlyCommit(dependencies []descriptor) (commit release.Commit, err error) {
	for _, each := range dependencies {
		named := release.Commit(each.Digest["gitCommit"])
		if named != "" && commit != "" && named != commit {
			return "", errors.New("its dependencies name two commits")
		}
		if named != "" {
			commit = named
		}
	}
	return commit, checkCommit(commit)
}

func checkBuilt(f fact.Fact) error {
	b := f.Build
	fields := map[string]string{"buildType": b.Type, "builder.id": b.Builder}
	if b.Type == fact.BuildType {
		fields["commit"], fields["recipe"] = f.Commit.String(), b.Recipe.String()
	}
	if f.Environment != "" || len(f.After) > 0 {
		return errors.New("a build has no environment and names no earlier records")
	}
	if len(b.Platforms) > maxList {
		return fmt.Errorf("it names %d platforms, limit %d", len(b.Platforms), maxList)
	}
	if b.Type != fact.BuildType && (!b.Recipe.IsZero() || b.Inputs != "" || len(b.Platforms) > 0 || f.By != "") {
		return errors.New("it has details that only a build by onedigest has")
	}
	return errors.Join(needs(fields), checkTexts(append([]string{b.Type, b.Source, b.Builder, b.Inputs}, b.Platforms...)...), checkTime(b.StartedAt, true))
}
