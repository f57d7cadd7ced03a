package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/text"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	parsed, err := manifest.ParseObject([]byte("--- " + text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// formatted formats the differences of two objects as the plan shows them.
func formatted(t *testing.T, before, after string) (lines []string) {
	t.Helper()
	for _, one := range differences(object(t, before), object(t, after)) {
		change := one.format(object(t, after), new(secrets))
		line := fmt.Sprintf("%s: %s -> %s", change.Path, change.Before, change.After)
		if change.Hidden {
			line = change.Path + ": hidden"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	const containers = "{spec: {template: {spec: {containers: [{name: app, image: 'a:1', ports: [{containerPort: 80}]}, {name: proxy, image: 'p:1'}]}}}}"
	long := func(lines int) string { return "{data: {f: \"" + strings.Repeat(`x\n`, lines) + "\"}}" }
	for name, test := range map[string]struct {
		before, after string
		want          []string
	}{
		"nothing":               {"{a: 1, b: {}}", "{a: 1, c: ''}", nil},
		"a field":               {"{spec: {replicas: 1}}", "{spec: {replicas: 2}}", []string{"spec.replicas: 1 -> 2"}},
		"a field that comes":    {"{spec: {}}", "{spec: {paused: true}}", []string{"spec.paused:  -> true"}},
		"a field that goes":     {"{spec: {paused: true}}", "{}", []string{`spec: {"paused":true} -> `}},
		"a quoted step":         {"{metadata: {annotations: {a.b/c: x}}}", "{metadata: {annotations: {a.b/c: z}}}", []string{`metadata.annotations["a.b/c"]: "x" -> "z"`}},
		"an item by its name":   {containers, strings.Replace(containers, "a:1", "a:2", 1), []string{`spec.template.spec.containers[app].image: "a:1" -> "a:2"`}},
		"an item by its port":   {containers, strings.Replace(containers, "80}", "80, name: web}", 1), []string{`spec.template.spec.containers[app].ports[80].name:  -> "web"`}},
		"an item that comes":    {"{env: [{name: A, value: a}]}", "{env: [{name: B, value: b}, {name: A, value: a}]}", []string{`env[B]: hidden`}},
		"an item that goes":     {"{env: [{name: A, value: a}, {name: B, value: b}]}", "{env: [{name: B, value: b}]}", []string{`env[A]: hidden`}},
		"an order":              {"{env: [{name: A}, {name: B}]}", "{env: [{name: B}, {name: A}]}", []string{`env (order): ["A","B"] -> ["B","A"]`}},
		"an item by its index":  {"{rules: [{host: a}, {host: b}]}", "{rules: [{host: a}, {host: c}]}", []string{`rules[1].host: "b" -> "c"`}},
		"a list of scalars":     {"{finalizers: [a, b]}", "{finalizers: [a]}", []string{`finalizers: ["a","b"] -> ["a"]`}},
		"arguments":             {"{args: [a, b]}", "{args: [a]}", []string{`args: hidden`}},
		"a command that comes":  {"{containers: [{name: a}]}", "{containers: [{name: a, command: [b]}]}", []string{`containers[a].command: hidden`}},
		"a container that goes": {"{containers: [{name: a}, {name: b, env: [{name: A, value: c}]}]}", "{containers: [{name: a}]}", []string{`containers[b]: hidden`}},
		"a variable":            {"{env: [{name: PORT, value: '1'}]}", "{env: [{name: PORT, value: '2'}]}", []string{`env[PORT].value: hidden`}},
		"a variable's source":   {"{env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}}}]}", "{env: [{name: A, valueFrom: {secretKeyRef: {name: c, key: b}}}]}", []string{`env[A].valueFrom.secretKeyRef.name: "a" -> "c"`}},
		"another type":          {"{a: [1]}", "{a: {b: 1}}", []string{`a: [1] -> {"b":1}`}},
		"a large value that comes": {"{}", "{spec: {a: " + strings.Repeat("x", 70) + ", b: " + strings.Repeat("y", 70) + "}}", []string{
			`spec.a:  -> "` + strings.Repeat("x", 70) + `"`, `spec.b:  -> "` + strings.Repeat("y", 70) + `"`}},
		"a changed line":     {`{data: {f: "a\nb\nc\n"}}`, `{data: {f: "a\nB\nc\n"}}`, []string{`data.f line 2: "b" -> "B"`}},
		"an added line":      {`{data: {f: "a\nc\n"}}`, `{data: {f: "a\nb\nc\n"}}`, []string{`data.f line 2:  -> "b"`}},
		"a removed line":     {`{data: {f: "a\nb\nc\n"}}`, `{data: {f: "a\nc\n"}}`, []string{`data.f line 2: "b" -> `}},
		"lines of both ends": {`{data: {f: "1\nb\nc\nd\n5\n"}}`, `{data: {f: "one\nb\nc\nd\nfive\nsix\n"}}`, []string{`data.f line 1: "1" -> "one"`, `data.f line 5: "5" -> "five"`, `data.f line 6:  -> "six"`}},
		"repeated lines":     {`{data: {f: "a\n}\nb\n}\n"}}`, `{data: {f: "a\n}\nx\n}\nb\n}\n"}}`, []string{`data.f line 3:  -> "x"`, `data.f line 4:  -> "}"`}},
		"too many lines":     {long(500), strings.ReplaceAll(long(500), "x", "y"), []string{`data.f: "` + strings.Repeat(`x\n`, 66) + `x… -> "` + strings.Repeat(`y\n`, 66) + `y…`}},
		"a long value": {"{a: " + strings.Repeat("x", 300) + "1}", "{a: " + strings.Repeat("x", 300) + "2}", []string{
			`a: …` + strings.Repeat("x", 50) + `1" -> …` + strings.Repeat("x", 50) + `2"`}},
		"a Secret":              {"{kind: Secret, data: {A: eA==}}", "{kind: Secret, data: {A: eQ==}}", []string{"data.A: hidden"}},
		"a Secret's labels":     {"{kind: Secret, metadata: {labels: {a: b}}}", "{kind: Secret, metadata: {labels: {a: c}}}", []string{`metadata.labels.a: "b" -> "c"`}},
		"a variable's password": {"{env: [{name: DB_PASSWORD, value: a}]}", "{env: [{name: DB_PASSWORD, value: b}]}", []string{"env[DB_PASSWORD].value: hidden"}},
		"a checksum":            {"{metadata: {annotations: {checksum/config: a}}}", "{metadata: {annotations: {checksum/config: b}}}", []string{`metadata.annotations["checksum/config"]: hidden`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, formatted(t, test.before, test.after)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestImmutableChanges(t *testing.T) {
	t.Parallel()
	const claim = "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {storageClassName: fast, resources: {requests: {storage: 10Gi}}}}"
	for name, test := range map[string]struct {
		before, after string
		want          []string
	}{
		"a Deployment's selector":   {"{apiVersion: apps/v1, kind: Deployment, spec: {selector: {matchLabels: {a: b}}}}", "{apiVersion: apps/v1, kind: Deployment, spec: {selector: {matchLabels: {a: c}}}}", []string{"spec.selector"}},
		"a default that is spelled": {"{apiVersion: apps/v1, kind: StatefulSet, spec: {}}", "{apiVersion: apps/v1, kind: StatefulSet, spec: {podManagementPolicy: OrderedReady}}", nil},
		"a sealed ConfigMap":        {"{apiVersion: v1, kind: ConfigMap, immutable: true, data: {a: b}}", "{apiVersion: v1, kind: ConfigMap, immutable: true, data: {a: c}}", []string{"data"}},
		"an open ConfigMap":         {"{apiVersion: v1, kind: ConfigMap, data: {a: b}}", "{apiVersion: v1, kind: ConfigMap, data: {a: c}}", nil},
		"a claim that grows":        {claim, strings.Replace(claim, "10Gi", "20Gi", 1), nil},
		"a claim that shrinks":      {claim, strings.Replace(claim, "10Gi", "1Gi", 1), []string{"spec.resources.requests.storage"}},
		"a claim's class":           {claim, strings.Replace(claim, "fast", "slow", 1), []string{"spec.storageClassName"}},
		"a Service's IP":            {"{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.1}}", "{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.2}}", []string{"spec.clusterIP"}},
		"a Service's IP left out":   {"{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.1}}", "{apiVersion: v1, kind: Service, spec: {}}", nil},
		"a Pod's image":             {"{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, image: 'a:1'}]}}", "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, image: 'a:2'}]}}", nil},
		"a Pod's command":           {"{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}]}}", "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, command: [x]}]}}", []string{"spec"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, immutableChanges(object(t, test.before), object(t, test.after))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSecretsAreRedactedAsQuoted: a message quotes a secret as sanitizing leaves it.
func TestSecretsAreRedactedAsQuoted(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"pa##[ss1word", "::add-mask::x", "zero\u200bwidth", "plain-secret", "two\nlines-of-it"} {
		s := collectSecrets(nil, []map[string]any{{"kind": "Secret", "stringData": map[string]any{"password": value}}})
		for _, message := range []string{value, "quoted: " + value} {
			shown := s.redact(failure.Sanitize(message))
			for line := range strings.Lines(value) {
				if plain := text.Line(line, text.NoLimit); len(plain) >= 8 && strings.Contains(shown, plain) {
					t.Errorf("%q shows %q", message, shown)
				}
			}
			if !strings.Contains(shown, "***") {
				t.Errorf("%q shows %q", message, shown)
			}
		}
	}
}
