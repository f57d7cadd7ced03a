package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/spf13/pflag"
)

type sample struct {
	Name    string
	Tags    []string
	Words   []string
	Timeout time.Duration
	Dry     bool
	Output  string
}

func (s *sample) declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Name, setting.Setting{Name: "name", Required: true, Value: "NAME", Help: "The name", Fallback: "FALLBACK_NAME"}, release.ParseLabel)
	setting.List(set, &s.Tags, setting.Setting{Name: "some-tags", Help: "Tags"}, setting.Text)
	setting.List(set, &s.Words, setting.Setting{Name: "some-words", Commas: true, Help: "Words without commas"}, setting.Text)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Help: "Bound"}, setting.Duration)
	setting.Bool(set, &s.Dry, setting.Setting{Name: "dry", Help: "Change nothing"})
	setting.Var(set, &s.Output, setting.Setting{Name: "output", Default: "text", Local: true, Help: "Format"}, setting.OneOf("text", "json"))
	return set
}

// read is what a command does with its flags and its environment.
func (s *sample) read(args, environ []string) error {
	set := s.declare()
	err := readSettings(context.Background(), set, Process{Args: args, Environ: environ}, nil)
	spellSettings(set, err)
	return err
}

func TestReadSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args, environ []string
		want          sample
	}{
		"defaults":                          {args: []string{"--name", "a"}, want: sample{Name: "a", Timeout: 5 * time.Minute, Output: "text"}},
		"flags":                             {args: []string{"--name=a", "--some-tags", "x", "--some-tags=y,z", "--dry", "--timeout=1s", "--output=json"}, want: sample{Name: "a", Tags: []string{"x", "y,z"}, Timeout: time.Second, Dry: true, Output: "json"}},
		"inputs":                            {environ: []string{"INPUT_NAME=a", "INPUT_SOME_TAGS= x \n\n y\n", "INPUT_DRY=true", "INPUT_TIMEOUT="}, want: sample{Name: "a", Tags: []string{"x", "y"}, Timeout: 5 * time.Minute, Dry: true, Output: "text"}},
		"a list with commas":                {args: []string{"--name=a", "--some-words", "x, y", "--some-words=z"}, want: sample{Name: "a", Words: []string{"x", "y", "z"}, Timeout: 5 * time.Minute, Output: "text"}},
		"a list with commas as an input":    {environ: []string{"INPUT_NAME=a", "INPUT_SOME_WORDS=x,y\nz"}, want: sample{Name: "a", Words: []string{"x", "y", "z"}, Timeout: 5 * time.Minute, Output: "text"}},
		"an input spelt by the runner":      {environ: []string{"INPUT_NAME=a", "INPUT_SOME-TAGS=x"}, want: sample{Name: "a", Tags: []string{"x"}, Timeout: 5 * time.Minute, Output: "text"}},
		"a flag wins over an input":         {args: []string{"--name", "a"}, environ: []string{"INPUT_NAME=b", "FALLBACK_NAME=c"}, want: sample{Name: "a", Timeout: 5 * time.Minute, Output: "text"}},
		"an input wins over a fallback":     {environ: []string{"INPUT_NAME=b", "FALLBACK_NAME=c"}, want: sample{Name: "b", Timeout: 5 * time.Minute, Output: "text"}},
		"a fallback":                        {environ: []string{"FALLBACK_NAME=c"}, want: sample{Name: "c", Timeout: 5 * time.Minute, Output: "text"}},
		"a value that looks like a command": {args: []string{"--name", "a", "--some-tags", "$(id) `id`"}, want: sample{Name: "a", Tags: []string{"$(id) `id`"}, Timeout: 5 * time.Minute, Output: "text"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got sample
			if err := got.read(test.args, test.environ); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadSettingsReportsEveryProblemAndItsOrigin(t *testing.T) {
	t.Parallel()
	var got sample
	err := got.read([]string{"--nmae", "x", "--timeout", "0s"},
		[]string{"INPUT_NAME=Not A Label", "INPUT_SOME_TAGS=ok\nbad\x07", "INPUT_DRY=perhaps", "INPUT_TIMEOUTS=3m", "INPUT_OUTPUT=json"})
	var input *release.InputError
	if !errors.As(err, &input) {
		t.Fatalf("got %v, want an *release.InputError", err)
	}
	var lines []string
	for _, problem := range input.Problems {
		lines = append(lines, problem.String())
	}
	want := []string{
		`--nmae: there is no such flag; did you mean --name?`,
		`INPUT_OUTPUT: there is no input "output"`,
		`INPUT_TIMEOUTS: there is no input "timeouts"; did you mean "timeout"?`,
		`INPUT_NAME: "Not A Label" is not a DNS label`,
		`INPUT_SOME_TAGS: "bad\a" holds a line break, a control character or an invisible character`,
		`--timeout: "0s" is not above zero`,
		`INPUT_DRY: "perhaps" is neither true nor false`,
	}
	text := strings.Join(lines, "\n")
	for _, line := range want {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
}

func TestReadSettingsRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                    {nil, "--name (INPUT_NAME, FALLBACK_NAME): is required; give NAME"},
		"an empty flag":              {[]string{"--name=", "--timeout="}, "--name: is given empty; leave it out or give NAME\n--timeout: is given empty"},
		"a list with an empty value": {[]string{"--name", "a", "--some-words", "x,,y"}, "--some-words: is given empty"},
		"a value given twice":        {[]string{"--name", "a", "--name", "b"}, "--name: is given 2 times, and takes one value"},
		"an argument":                {[]string{"--name", "a", "b"}, `unexpected argument "b"`},
		"a negative duration":        {[]string{"--name", "a", "--timeout", "-5s"}, "is not above zero"},
		"a number for duration":      {[]string{"--name", "a", "--timeout", "5"}, `"5" is not a duration; write it as 90s, 5m or 1h`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := new(sample).read(test.args, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	set := new(sample).declare()
	if err := new(sample).read([]string{"--help"}, nil); !errors.Is(err, pflag.ErrHelp) {
		t.Fatalf("got %v, want %v", err, pflag.ErrHelp)
	}
	text := help("onedigest sample", setting.Verb{Name: "sample", Summary: "try", About: "About.", Examples: []setting.Example{{Does: "one", Line: "--name a"}},
		Outputs: []setting.Output{{Name: "out", Help: "what came out"}}}, set)
	for _, want := range []string{"sample: try", "onedigest sample --name a", "--name NAME", "(required; else FALLBACK_NAME; env INPUT_NAME)", "default 5m", "what came out", "Exit codes: 0 done"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func FuzzReadSettings(f *testing.F) {
	f.Add("--name", "a", "INPUT_NAME=b")
	f.Add("--some-tags", "x\ny", "INPUT_SOME-TAGS=\x00")
	f.Add("-n", "--", "INPUT_=")
	f.Fuzz(func(t *testing.T, flag, value, variable string) {
		var got sample
		err := got.read([]string{flag, value}, []string{variable})
		var input *release.InputError
		if err != nil && !errors.Is(err, pflag.ErrHelp) && !errors.As(err, &input) {
			t.Fatalf("got %T: %v", err, err)
		}
		if err == nil && (got.Name == "" || got.Timeout <= 0) {
			t.Fatalf("accepted %+v", got)
		}
	})
}
