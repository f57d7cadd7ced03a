package app

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/scan"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the generated files again")

// declared is a verb and its settings, as an action has them.
type declared struct {
	verb setting.Verb
	set  *setting.Set
}

func actions() []declared {
	all := []declared{
		{build.Verb, new(build.Settings).Declare()},
		{deploy.Verb, new(deploy.Settings).Declare()},
		{smoke.Verb, new(smoke.Settings).Declare()},
		{promote.Verb, new(promote.Settings).Declare()},
		{scan.Verb, new(scan.Settings).Declare()},
		{preview.Verb, new(preview.Settings).Declare()},
	}
	for _, d := range all {
		declareRole(d.set, new(common))
	}
	return all
}

// TestReference holds action.yml, the environment keys and the reference to the settings' declarations: they are
// written from them (-update), so that none can say something else.
func TestReference(t *testing.T) {
	t.Parallel()
	all := actions()
	golden(t, "action.yml", actionOfAll(all))
	for _, d := range all {
		golden(t, "actions/"+d.verb.Name+"/action.yml", actionOf(d))
	}
	golden(t, "docs/reference.md", reference(all))
}

// TestREADMEShowsTheRecordedFailure: what README and the reference show of a failed deploy is one text.
func TestREADMEShowsTheRecordedFailure(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```text\n"+deploy.Verb.Failure+"```") {
		t.Error("README.md does not show internal/deploy/failure.txt")
	}
}

// TestEveryActionSaysWhatTheVerbReads parses the committed files with a YAML reader of its own, so that a generator
// that writes nonsense is seen.
func TestEveryActionSaysWhatTheVerbReads(t *testing.T) {
	t.Parallel()
	for _, d := range actions() {
		content, err := os.ReadFile(filepath.Join("../..", "actions", d.verb.Name, "action.yml"))
		if err != nil {
			t.Fatal(err)
		}
		var action struct {
			Inputs  map[string]struct{ Required bool }
			Outputs map[string]struct{ Value string }
			Runs    struct {
				Using string
				Steps []struct {
					ID, Run, Shell string
					Env            map[string]string
				}
			}
		}
		if err := yaml.Unmarshal(content, &action); err != nil {
			t.Fatal(err)
		}
		if len(action.Runs.Steps) != 1 {
			t.Fatalf("%s has %d steps, want one", d.verb.Name, len(action.Runs.Steps))
		}
		step := action.Runs.Steps[0]
		var inputs, env []string
		for _, s := range withFormer(d.set.All()) {
			if s.Local {
				continue
			}
			inputs, env = append(inputs, s.Name), append(env, variable(s.Name))
			if got, want := step.Env[variable(s.Name)], "${{ inputs."+s.Name+" }}"; got != want {
				t.Errorf("%s: %s is %q, want %q", d.verb.Name, variable(s.Name), got, want)
			}
		}
		handed := 0
		inputs = append(inputs, releasesInput)
		for name := range step.Env { // the others keep the linker of the system from loading what a caller's environment names
			if strings.HasPrefix(name, "INPUT_") {
				handed++
			}
		}
		if got := len(action.Inputs); got != len(inputs) || handed != len(env) {
			t.Errorf("%s: %d inputs and %d variables for %d settings", d.verb.Name, got, handed, len(inputs))
		}
		if strings.Contains(step.Run, "${{") || !strings.HasPrefix(step.Run, "exec ") {
			t.Errorf("%s: run %q must exec and hold no expression", d.verb.Name, step.Run)
		}
		for _, output := range d.verb.Outputs {
			if got, want := action.Outputs[output.Name].Value, "${{ steps.run.outputs."+output.Name+" }}"; got != want {
				t.Errorf("%s: output %s is %q, want %q", d.verb.Name, output.Name, got, want)
			}
		}
	}
}

func golden(t *testing.T, path, want string) {
	t.Helper()
	path = filepath.Join("../..", path)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the settings say (make reference); -settings +file:\n%s", path, diff)
	}
}

const generated = "# Written from the settings' declarations by `make reference`; do not edit.\n"

func actionOf(d declared) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%sname: onedigest %s\ndescription: %s\ninputs:\n", generated, d.verb.Name, quote(d.verb.Summary))
	all := withFormer(d.set.All())
	for _, s := range all {
		writeInput(&text, s, s.Help)
	}
	writeReleasesInput(&text)
	writeOutputs(&text, d.verb.Outputs)
	writeStep(&text, all, `exec "$GITHUB_ACTION_PATH/../run.sh" `+d.verb.Name)
	return text.String()
}

// actionOfAll is the entry for the Marketplace: the union of the inputs, and the verb by name.
func actionOfAll(all []declared) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%sname: onedigest\ndescription: %s\nbranding: {icon: check-circle, color: green}\ninputs:\n", generated,
		quote("One commit to production on AWS EKS: a commit is built once, and the digest that production runs is the digest that staging proved"))
	fmt.Fprintf(&text, "  command:\n    description: %s\n    required: true\n", quote("Verb to run: build, deploy, smoke, promote, scan or preview"))
	var union []*setting.Setting
	var outputs []setting.Output
	for _, d := range all {
		for _, s := range d.set.All() {
			if !slices.ContainsFunc(union, func(u *setting.Setting) bool { return u.Name == s.Name }) {
				union = append(union, s)
			}
		}
		for _, output := range d.verb.Outputs {
			if !slices.ContainsFunc(outputs, func(o setting.Output) bool { return o.Name == output.Name }) {
				outputs = append(outputs, output)
			}
		}
	}
	for _, s := range union {
		var help []string
		for _, d := range all {
			if own := d.set.Lookup(s.Name); own != nil {
				help = append(help, d.verb.Name+": "+own.Help)
			}
		}
		shared := *s
		shared.Required, shared.Default = false, ""
		writeInput(&text, &shared, strings.Join(help, ". "))
	}
	for _, former := range withFormer(union)[len(union):] {
		writeInput(&text, former, former.Help)
		union = append(union, former)
	}
	writeReleasesInput(&text)
	writeOutputs(&text, outputs)
	union = append([]*setting.Setting{{Name: "command"}}, union...)
	writeStep(&text, union, `exec "$GITHUB_ACTION_PATH/actions/run.sh" "$INPUT_COMMAND"`)
	return text.String()
}

// withFormer appends the former names of settings that no other setting has, as settings of their own.
func withFormer(all []*setting.Setting) []*setting.Setting {
	for _, s := range slices.Clone(all) {
		if s.Former != "" && !slices.ContainsFunc(all, func(other *setting.Setting) bool { return other.Name == s.Former }) {
			all = append(all, &setting.Setting{Name: s.Former, Former: s.Name, Help: "Former name of " + s.Name})
		}
	}
	return all
}

func writeInput(text *strings.Builder, s *setting.Setting, help string) {
	if s.Local {
		return
	}
	switch {
	case s.Many && s.Commas:
		help += "; one a line, or separated by commas"
	case s.Many:
		help += "; one a line"
	}
	fmt.Fprintf(text, "  %s:\n    description: %s\n    required: %t\n", s.Name, quote(help), s.Required && len(s.Unless) == 0)
	if strings.HasPrefix(help, "Former name") {
		fmt.Fprintf(text, "    deprecationMessage: %s\n", quote(s.Name+" is called "+s.Former+" now"))
	}
	switch {
	case s.Action != "":
		fmt.Fprintf(text, "    default: %s\n", s.Action)
	case s.Default != "" && s.Fallback == "":
		fmt.Fprintf(text, "    default: %s\n", quote(s.Default))
	}
}

// releasesInput is an input of every action that no verb knows: run.sh reads it, as a variable that a workflow may also set for all its jobs.
const releasesInput = "releases"

func writeReleasesInput(text *strings.Builder) {
	fmt.Fprintf(text, "  %s:\n    description: %s\n    required: false\n", releasesInput,
		quote("Address of a mirror of the releases, which has VERSION/onedigest_OS_ARCH.gz below it; default: the variable ONEDIGEST_RELEASES, or where the action was released"))
}

func writeOutputs(text *strings.Builder, outputs []setting.Output) {
	text.WriteString("outputs:\n")
	for _, output := range outputs {
		fmt.Fprintf(text, "  %s:\n    description: %s\n    value: ${{ steps.run.outputs.%s }}\n", output.Name, quote(output.Help), output.Name)
	}
}

func writeStep(text *strings.Builder, settings []*setting.Setting, run string) {
	// An earlier step may have set variables that make bash, or the loader of any program, execute code. Such a step's are
	// overridden, and bash -p takes none.
	text.WriteString("runs:\n  using: composite\n  steps:\n    - id: run\n      shell: /bin/bash --noprofile --norc -p -e -o pipefail {0}\n      env:\n" +
		"        LD_AUDIT: ''\n        LD_LIBRARY_PATH: ''\n        LD_PRELOAD: ''\n        ONEDIGEST_RELEASES: ${{ inputs." + releasesInput + " || env.ONEDIGEST_RELEASES }}\n")
	for _, s := range settings {
		if !s.Local {
			fmt.Fprintf(text, "        %s: ${{ inputs.%s }}\n", variable(s.Name), s.Name)
		}
	}
	fmt.Fprintf(text, "      run: %s\n", run)
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// formerly says the former name of a setting, if it had one.
func formerly(s *setting.Setting) string {
	if s.Former == "" {
		return ""
	}
	return "; formerly `" + s.Former + "`"
}

func reference(all []declared) string {
	var text strings.Builder
	text.WriteString("# Reference\n\nWritten from the settings' declarations by `make reference`; do not edit.\n\n" +
		"Every setting is a flag (`--name`), an input of the action (`name:`) and an environment variable. " +
		"A flag wins over an input. An unknown flag or input is an error.\n\n" +
		"Exit codes: 0 done · 1 failed or refused · 2 bad input · 3 fault (network, registry, AWS, cluster).\n")
	for _, d := range all {
		fmt.Fprintf(&text, "\n## %s\n\n%s%s.\n\n%s\n\n", d.verb.Name, strings.ToUpper(d.verb.Summary[:1]), d.verb.Summary[1:], d.verb.About)
		for _, example := range d.verb.Examples {
			fmt.Fprintf(&text, "```sh\n# %s\nonedigest %s %s\n```\n\n", example.Does, d.verb.Name, example.Line)
		}
		text.WriteString("| setting | variable | default | |\n|---|---|---|---|\n")
		for _, s := range d.set.All() {
			variable, standard := "`"+variable(s.Name)+"`", "`"+s.Default+"`"
			if s.Local {
				variable = ""
			}
			switch {
			case s.Required && len(s.Unless) > 0:
				standard = "required without `" + strings.Join(s.Unless, "` or `") + "`"
			case s.Required:
				standard = "required"
			case s.Fallback != "":
				standard = "`" + s.Fallback + "`"
			case s.Default == "":
				standard = ""
			}
			fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", s.Name, variable, standard, strings.ReplaceAll(s.Help+formerly(s), "|", `\|`))
		}
		text.WriteString("\n| output | |\n|---|---|\n")
		for _, output := range d.verb.Outputs {
			fmt.Fprintf(&text, "| `%s` | %s |\n", output.Name, output.Help)
		}
		if d.verb.Failure != "" {
			fmt.Fprintf(&text, "\nA run that failed, as it was printed:\n\n```text\n%s```\n", d.verb.Failure)
		}
	}
	return text.String()
}
