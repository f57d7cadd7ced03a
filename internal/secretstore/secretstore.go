// Package secretstore reads secrets by reference: from AWS Secrets Manager, from the parameter store of AWS Systems Manager, and from
// files that SOPS has encrypted. Every value is added to the secrets of the run before it is returned.
package secretstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// Options of a Store.
type Options struct {
	Environ     []string                     // "NAME=value" each: of AWS's SDK, and of sops
	Getenv      func(name string) string     // of the same environment
	Inside      func(string) (string, error) // makes a path absolute, and refuses one outside the work tree
	Add         func(secret string)          // gets every secret before it is returned
	Credentials awsx.Credentials             // instead of those of the environment; nil: the environment's
	Secrets     *text.Secrets                // gets the credentials that the requests are signed with
	Tree        worktree.Tree                // in which no program is run
}

// Store reads secrets. It may be used from several goroutines.
type Store struct{ Options }

// New returns a store; it sends no request.
func New(options Options) *Store { return &Store{options} }

// Read returns the values of references, in their order. References that name nothing are reported together, as a
// *release.InputError. A store that does not answer, or denies access, is a *release.Fault.
func (s *Store) Read(ctx context.Context, references []release.SecretRef) ([]string, error) {
	documents, err := s.documents(ctx, references)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(references))
	var problems []release.Problem
	for i, reference := range references {
		value, err := pick(documents[withoutKey(reference)], reference.Key)
		if err != nil {
			problems = append(problems, problem(reference, err.Error(), ""))
			continue
		}
		s.Add(value)
		values[i] = value
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return values, nil
}

// documents reads each secret, parameter and file once.
func (s *Store) documents(ctx context.Context, references []release.SecretRef) (map[release.SecretRef]string, error) {
	documents := map[release.SecretRef]string{}
	var parameters []string
	var problems []release.Problem
	cloud := &cloud{options: s.Options}
	for _, reference := range references {
		whole := withoutKey(reference)
		if _, read := documents[whole]; read {
			continue
		}
		var document string
		var err error
		switch reference.Store {
		case release.SecretsManager:
			document, err = cloud.secret(ctx, reference.Name)
		case release.SOPSFile:
			document, err = s.decrypt(ctx, reference.Name)
		case release.ParameterStore:
			parameters = append(parameters, reference.Name)
		}
		var input *release.InputError
		switch {
		case errors.As(err, &input):
			for _, one := range input.Problems {
				problems = append(problems, problem(whole, one.What, one.Do))
			}
		case err != nil:
			return nil, err
		}
		documents[whole] = document
	}
	missing, err := cloud.parameters(ctx, parameters, documents)
	if err != nil {
		return nil, err
	}
	for _, name := range missing {
		problems = append(problems, problem(release.SecretRef{Store: release.ParameterStore, Name: name}, "there is no such parameter", "create it, or correct its name, account or region"))
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return documents, nil
}

func withoutKey(reference release.SecretRef) release.SecretRef {
	reference.Key = ""
	return reference
}

func problem(reference release.SecretRef, what, do string) release.Problem {
	return release.Problem{Setting: "secret-values", What: reference.String() + ": " + what, Do: do}
}

// pick returns the field that key names, or the whole secret if key is empty. No error contains the secret's values.
func pick(document, key string) (string, error) {
	if key == "" {
		return nonEmpty(document)
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(document)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", errors.New("a key is given, and the secret is not a JSON object")
	}
	if fields, isMap := value.(map[string]any); isMap && fields[key] != nil { // a key with dots
		value = fields[key]
	} else {
		for step := range strings.SplitSeq(key, ".") {
			fields, isMap := value.(map[string]any)
			if value, isMap = fields[step], isMap && fields[step] != nil; !isMap {
				return "", fmt.Errorf("it has no key %q", key)
			}
		}
	}
	switch value := value.(type) {
	case string:
		return nonEmpty(value)
	case json.Number:
		return value.String(), nil
	}
	return "", fmt.Errorf("its key %q is neither a text nor a number", key)
}

func nonEmpty(value string) (string, error) {
	if value == "" {
		return "", errors.New("it is empty")
	}
	return value, nil
}
