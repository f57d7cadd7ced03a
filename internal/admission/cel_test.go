package admission_test

import (
	"slices"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/admission"
)

// attested are the statements about an image by attestation and attestor, as Kyverno verifies them.
type attested map[string]map[string]map[string]any

// environment has the variables and the functions of an ImageValidatingPolicy, with Kyverno's types. Source: Kyverno 1.19, pkg/cel/libs/imageverify/lib.go
// and pkg/image/verification/evaluator/compiler.go. extractPayload returns what was verified last.
func environment(t *testing.T, all attested) *cel.Env {
	t.Helper()
	verified := map[string]map[string]any{}
	made, err := cel.NewEnv(
		cel.Variable("images", cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.Variable("attestors", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("attestations", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("verifyAttestationSignatures", cel.Overload("verify", []*cel.Type{cel.StringType, cel.StringType, cel.ListType(cel.DynType)}, cel.IntType,
			cel.FunctionBinding(func(arguments ...ref.Val) ref.Val {
				attestation, attestors := arguments[1].Value().(string), arguments[2].Value().([]ref.Val) //nolint:forcetypeassert // CEL has checked them
				count := 0
				for _, attestor := range attestors {
					if statement, found := all[attestation][attestor.Value().(string)]; found { //nolint:forcetypeassert // the test's own
						verified[attestation] = statement
						count++
					}
				}
				return types.Int(count)
			}))),
		cel.Function("extractPayload", cel.Overload("payload", []*cel.Type{cel.StringType, cel.StringType}, cel.DynType,
			cel.BinaryBinding(func(_, attestation ref.Val) ref.Val {
				statement, found := verified[attestation.Value().(string)] //nolint:forcetypeassert // CEL has checked it
				if !found {
					return types.NewErr("not verified")
				}
				return types.DefaultTypeAdapter.NativeToValue(statement)
			}))),
	)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func smokeStatement(change func(predicate, ours map[string]any)) map[string]any {
	ours := map[string]any{"environment": "staging", "verdict": "pass", "checks": []any{"home", "login"}}
	predicate := map[string]any{"result": "PASSED", "onedigest": ours,
		"configuration": []any{map[string]any{"name": "checks"}, map[string]any{"name": "check-contents", "digest": map[string]any{"sha256": "f24e4c0bebec9efbe9c85060cd69f5f1283ec5f86e701b76d2e5c594dc601cbe"}}}}
	if change != nil {
		change(predicate, ours)
	}
	return map[string]any{"predicate": predicate}
}

// TestExpressionsOfKyverno: the expressions have the types of Kyverno's environment, and hold only if every requirement is met by one of its signers.
func TestExpressionsOfKyverno(t *testing.T) {
	t.Parallel()
	_, content, err := write(t, admission.FormatKyverno, byKeys, nil)
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Spec struct {
			Attestors   []struct{ Name string }
			Validations []struct{ Expression string }
		}
	}
	if err := yaml.Unmarshal(content, &policy); err != nil {
		t.Fatal(err)
	}
	proved := func(change func(attested)) attested {
		all := attested{"built": {"built1": {"predicate": map[string]any{}}}, "listed": {"listed1": {"predicate": map[string]any{}}}, "deployed": {"deployed1": {"predicate": map[string]any{"environment": "staging"}}}, "smoked": {"smoked1": smokeStatement(nil)}}
		if change != nil {
			change(all)
		}
		return all
	}
	smoke := func(change func(predicate, ours map[string]any)) attested {
		return proved(func(all attested) { all["smoked"]["smoked1"] = smokeStatement(change) })
	}
	for name, c := range map[string]struct {
		all  attested
		want bool
	}{
		"proved":              {proved(nil), true},
		"by the other signer": {proved(func(all attested) { all["smoked"] = map[string]map[string]any{"smoked2": smokeStatement(nil)} }), true},
		"the first signer's failed, the other's passed": {proved(func(all attested) {
			all["smoked"] = map[string]map[string]any{"smoked1": smokeStatement(func(p, _ map[string]any) { p["result"] = "FAILED" }), "smoked2": smokeStatement(nil)}
		}), true},
		"not listed":   {proved(func(all attested) { delete(all, "listed") }), false},
		"not built":    {proved(func(all attested) { delete(all, "built") }), false},
		"not deployed": {proved(func(all attested) { delete(all, "deployed") }), false},
		"deployed elsewhere": {proved(func(all attested) {
			all["deployed"]["deployed1"] = map[string]any{"predicate": map[string]any{"environment": "qa"}}
		}), false},
		"no verdict":          {proved(func(all attested) { delete(all, "smoked") }), false},
		"failed":              {smoke(func(p, _ map[string]any) { p["result"] = "FAILED" }), false},
		"inconclusive":        {smoke(func(_, o map[string]any) { o["verdict"] = "inconclusive" }), false},
		"another environment": {smoke(func(_, o map[string]any) { o["environment"] = "qa" }), false},
		"too few checks":      {smoke(func(_, o map[string]any) { o["checks"] = []any{"home"} }), false},
		"another check":       {smoke(func(_, o map[string]any) { o["checks"] = []any{"login", "search"} }), false},
		"other contents": {smoke(func(p, _ map[string]any) {
			p["configuration"] = []any{map[string]any{"name": "check-contents", "digest": map[string]any{"sha256": "00"}}}
		}), false},
		"another's statement": {smoke(func(p, _ map[string]any) { delete(p, "onedigest") }), false},
	} {
		if got := admits(t, policy.Spec.Validations, policy.Spec.Attestors, c.all); got != c.want {
			t.Errorf("%s: admitted is %t", name, got)
		}
	}
}

// admits evaluates all expressions for a pod with one image. An error refuses, as failurePolicy Fail says.
func admits(t *testing.T, validations []struct{ Expression string }, attestors []struct{ Name string }, all attested) bool {
	t.Helper()
	named := map[string]any{}
	for _, each := range attestors {
		named[each.Name] = each.Name
	}
	variables := map[string]any{"images": map[string][]string{"containers": {"registry.example.com/shop@sha256:1"}, "initContainers": {}, "ephemeralContainers": {}},
		"attestors": named, "attestations": map[string]string{"built": "built", "listed": "listed", "deployed": "deployed", "smoked": "smoked"}}
	env := environment(t, all)
	return !slices.ContainsFunc(validations, func(each struct{ Expression string }) bool {
		checked, issues := env.Compile(each.Expression)
		if issues.Err() != nil || checked.OutputType() != cel.BoolType {
			t.Fatalf("%v in\n%s", issues.Err(), each.Expression)
		}
		program, err := env.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		holds, _, err := program.Eval(variables)
		return err != nil || holds != types.True
	})
}
