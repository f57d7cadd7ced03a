package failure

import (
	"strings"
	"testing"
)

// TestSanitizeHidesQuotedValues: an apiserver quotes what it refuses, as JSON, as JSON in a string or in Go's syntax.
func TestSanitizeHidesQuotedValues(t *testing.T) {
	t.Parallel()
	const template = `core.PodTemplateSpec{ObjectMeta:v1.ObjectMeta{Name:"", Labels:map[string]string{"a":"b}"}}, Spec:core.PodSpec{Containers:[]core.Container{core.Container{` +
		`Args:[]string{"--password=canary"}, Env:[]core.EnvVar{core.EnvVar{Name:"A", Value:"canary \"}]"}}, Ports:[]*core.Port(nil)}}}}`
	for message, want := range map[string]string{
		`Job.batch "m" is invalid: spec.template: Invalid value: ` + template + `: field is immutable`: `Job.batch "m" is invalid: spec.template: Invalid value: {…}: field is immutable`,
		`a: Invalid value: &` + template + `: field is immutable, b: Invalid value: "x": is short`:     `a: Invalid value: {…}: field is immutable, b: Invalid value: "x": is short`,
		`a: Invalid value: []core.EnvVar{core.EnvVar{Value:"canary"}}: no`:                             `a: Invalid value: {…}: no`,
		`a: Invalid value: map[string]string{"a":"canary"}: no`:                                        `a: Invalid value: {…}: no`,
		`patch: Invalid value: "{\"data\":{\"A\":\"canary\"}}": json: cannot unmarshal`:                `patch: Invalid value: {…}: json: cannot unmarshal`,
		`a: Duplicate value: {"name":"A","value":"canary}"}: b`:                                        `a: Duplicate value: {…}: b`,
		`a: Unsupported value: ["canary","]"]: supported values: "b"`:                                  `a: Unsupported value: {…}: supported values: "b"`,
		`a: Invalid value: ` + template[:100]:                                                          `a: Invalid value: {…}`,
		`spec.replicas: Invalid value: -1: must be greater than or equal to 0`:                         `spec.replicas: Invalid value: -1: must be greater than or equal to 0`,
		`spec.type: Unsupported value: "Loadbalancer": supported values: "ClusterIP"`:                  `spec.type: Unsupported value: "Loadbalancer": supported values: "ClusterIP"`,
	} {
		if got := Sanitize(message); got != want {
			t.Errorf("%q becomes %q, want %q", message, got, want)
		}
	}
}

// FuzzSanitize: a quoted value shows nothing of a string within it, however it is broken off.
func FuzzSanitize(f *testing.F) {
	f.Add(`core.A{B:x{`, `"}}: field is immutable`)
	f.Add(`{a:`, `"}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before, "\"`\\]}") {
			t.Skip() // it may end the value
		}
		message := "a: Invalid value: {" + before + "canary" + after
		if got := Sanitize(message); strings.Contains(got, "canary") && !strings.Contains(after, "canary") {
			t.Errorf("%q shows %q", message, got)
		}
	})
}
