package charts

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// TestTerraformsNetworkPolicies compares the NetworkPolicies of terraform/platform and of terraform/modules/service, as Kubernetes' objects, with a
// golden file. The end-to-end tests apply that file to a node on which a controller enforces it.
func TestTerraformsNetworkPolicies(t *testing.T) {
	t.Parallel()
	policies := append(terraformsPolicies(t, "platform", "namespaces", "network"), terraformsPolicies(t, "modules/service", "namespace")...)
	if len(policies) != 14 {
		t.Errorf("%d policies were found, want 14: the test reads the files wrongly, or one was added", len(policies))
	}
	got := strings.Join(policies, "---\n")
	const golden = "testdata/networkpolicies.golden.yaml"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("other policies than in %s (-want +got; go test . -update writes it again):\n%s", golden, diff)
	}
}

// terraformsPolicies evaluates each kubernetes_network_policy_v1 in files of a directory: with Argo CD installed, in the VPC of the environments' values, and
// with the namespace "staging" as a service's.
func terraformsPolicies(t *testing.T, directory string, files ...string) (policies []string) {
	t.Helper()
	locals, resources := map[string]cty.Value{}, []*hclsyntax.Block(nil)
	scope := &hcl.EvalContext{
		Functions: map[string]function.Function{"merge": stdlib.MergeFunc, "tostring": stdlib.MakeToFunc(cty.String)},
		Variables: map[string]cty.Value{
			"var":  cty.ObjectVal(map[string]cty.Value{"argo_cd": cty.True, "default_deny": cty.True}),
			"data": within(cty.StringVal("10.20.0.0/16"), "aws_vpc", "this", "cidr_block"),
		},
	}
	for _, name := range files {
		file := "../../terraform/" + directory + "/" + name + ".tf"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, problems := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
			switch {
			case block.Type == "locals" && directory == "platform":
				for name, local := range block.Body.Attributes {
					locals[name] = evaluate(t, local.Expr, scope)
				}
			case block.Type == "resource" && block.Labels[0] == "kubernetes_network_policy_v1":
				resources = append(resources, block)
			}
		}
	}
	scope.Variables["local"] = cty.ObjectVal(locals)
	this := namespaceOf("staging")
	if all, found := locals["namespaces"]; found {
		named := map[string]cty.Value{}
		for name := range all.AsValueMap() {
			named[name] = namespaceOf(name)
		}
		this = cty.ObjectVal(named)
	}
	scope.Variables["kubernetes_namespace_v1"] = cty.ObjectVal(map[string]cty.Value{"this": this})
	for _, resource := range resources {
		repeated(t, resource.Body, "each", scope, func(scope *hcl.EvalContext) { policies = append(policies, policyOf(t, resource.Body, scope)) })
	}
	return policies
}

// within nests a value in objects.
func within(value cty.Value, names ...string) cty.Value {
	for _, name := range slices.Backward(names) {
		value = cty.ObjectVal(map[string]cty.Value{name: value})
	}
	return value
}

// namespaceOf is the resource of a namespace.
func namespaceOf(name string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"metadata": cty.TupleVal([]cty.Value{within(cty.StringVal(name), "name")})})
}

func evaluate(t *testing.T, expression hcl.Expression, scope *hcl.EvalContext) cty.Value {
	t.Helper()
	value, problems := expression.Value(scope)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return value
}

// repeated calls do for each element of a body's for_each, which is named so in the scope, and once if it has none.
func repeated(t *testing.T, body *hclsyntax.Body, name string, scope *hcl.EvalContext, do func(*hcl.EvalContext)) {
	t.Helper()
	each, found := body.Attributes["for_each"]
	if !found {
		do(scope)
		return
	}
	for it := evaluate(t, each.Expr, scope).ElementIterator(); it.Next(); {
		key, value := it.Element()
		inner := scope.NewChild()
		inner.Variables = map[string]cty.Value{name: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})}
		do(inner)
	}
}

// policyOf evaluates one policy and returns it as YAML. What Kubernetes' type does not have fails the test.
func policyOf(t *testing.T, body *hclsyntax.Body, scope *hcl.EvalContext) string {
	t.Helper()
	fields := fieldsOf(t, body, scope)
	for _, of := range []string{"count", "for_each", "depends_on"} {
		delete(fields, of)
	}
	fields["apiVersion"], fields["kind"] = "networking.k8s.io/v1", "NetworkPolicy"
	text, err := yaml.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, new(networking.NetworkPolicy)); err != nil {
		t.Fatalf("%s: %v in\n%s", body.SrcRange, err, text)
	}
	return string(text)
}

// fieldsOf translates a body of Terraform's provider into fields of Kubernetes' object: the names are the same but for their case, and repeated blocks are
// lists.
func fieldsOf(t *testing.T, body *hclsyntax.Body, scope *hcl.EvalContext) map[string]any {
	t.Helper()
	fields := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		if name != "depends_on" && name != "for_each" {
			fields[camelCase(name)] = plain(t, name, evaluate(t, body.Attributes[name].Expr, scope))
		}
	}
	add := func(name string, content *hclsyntax.Body, scope *hcl.EvalContext) {
		switch value := fieldsOf(t, content, scope); name {
		case "ingress", "egress", "from", "to", "ports":
			list, _ := fields[name].([]any)
			fields[name] = append(list, value)
		default:
			fields[camelCase(name)] = value
		}
	}
	for _, block := range body.Blocks {
		if block.Type != "dynamic" {
			add(block.Type, block.Body, scope)
			continue
		}
		repeated(t, block.Body, block.Labels[0], scope, func(inner *hcl.EvalContext) { add(block.Labels[0], block.Body.Blocks[0].Body, inner) })
	}
	return fields
}

// plain is a value as JSON has it. A port that is a number is one for Kubernetes, too.
func plain(t *testing.T, name string, value cty.Value) any {
	t.Helper()
	switch {
	case value.Type() == cty.String:
		if number, err := strconv.Atoi(value.AsString()); name == "port" && err == nil {
			return number
		}
		return value.AsString()
	case value.Type() == cty.Number:
		number, _ := value.AsBigFloat().Int64()
		return number
	case value.Type().IsObjectType() || value.Type().IsMapType():
		object := map[string]any{}
		for key, one := range value.AsValueMap() {
			object[key] = plain(t, key, one)
		}
		return object
	case value.CanIterateElements():
		list := []any{}
		for _, one := range value.AsValueSlice() {
			list = append(list, plain(t, name, one))
		}
		return list
	}
	t.Fatalf("%s is a %s, which the test does not know", name, value.Type().FriendlyName())
	return nil
}

func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}
