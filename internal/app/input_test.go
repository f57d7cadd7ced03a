package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
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
	setting.List(set, &s.Tags, setting.Setting{Name: "some-tags", Former: "old-tags", Help: "Tags"}, setting.Text)
	setting.List(set, &s.Words, setting.Setting{Name: "some-words", Commas: true, Help: "Words without commas"}, setting.Text)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Help: "Bound"}, setting.Duration)
	setting.Bool(set, &s.Dry, setting.Setting{Name: "dry", Help: "Change nothing"})
	setting.Var(set, &s.Output, setting.Setting{Name: "output", Default: "text", Local: true, Help: "Format"}, setting.OneOf("text", "json"))
	return set
}

// read is what a command does with its flags and its environment.
func (s *sample) read(args, environ []string) error {
	set := s.declare()
	err := readSettings(context.Background(), set, Process{Args: args, Environ: environ}, nil, false)
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
		"a former flag":                     {args: []string{"--name=a", "--old-tags", "x", "--some-tags=y"}, want: sample{Name: "a", Tags: []string{"x", "y"}, Timeout: 5 * time.Minute, Output: "text"}},
		"a former flag wins over an input":  {args: []string{"--name=a", "--old-tags=x"}, environ: []string{"INPUT_SOME_TAGS=y"}, want: sample{Name: "a", Tags: []string{"x"}, Timeout: 5 * time.Minute, Output: "text"}},
		"a former input":                    {environ: []string{"INPUT_NAME=a", "INPUT_OLD_TAGS=x"}, want: sample{Name: "a", Tags: []string{"x"}, Timeout: 5 * time.Minute, Output: "text"}},
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

// TestInputsAreSpeltAsTheyAreRead: an input that is set by hand in another spelling is an error, not ignored.
func TestInputsAreSpeltAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"INPUT_Dry=true":                     "INPUT_Dry: is not read in this spelling; write INPUT_DRY",
		"input_some_tags=x":                  "input_some_tags: is not read in this spelling; write INPUT_SOME_TAGS",
		"INPUT_some-tags=x":                  "INPUT_some-tags: is not read in this spelling; write INPUT_SOME_TAGS",
		"INPUT_SOME-TAGS=x":                  "",
		"INPUT_Dry=":                         "",
		"Input_Other=x":                      "",
		"INPUT_SOME_TAGS=y INPUT_SOME-TAGS=": "",
	} {
		err := new(sample).read([]string{"--name", "a"}, []string{variable})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", variable, err, want)
		}
	}
	err := new(sample).read([]string{"--name", "a"}, []string{"INPUT_SOME_TAGS=x", "INPUT_SOME-TAGS=y"})
	if err == nil || !strings.Contains(err.Error(), "INPUT_SOME-TAGS: differs from INPUT_SOME_TAGS; give one of them") {
		t.Errorf("two spellings: got %v", err)
	}
}

// TestAValueIsNeverInAnError: what is given for set, set-json and build-args may be a secret.
func TestAValueIsNeverInAnError(t *testing.T) {
	t.Parallel()
	const pem = "key=-----BEGIN PRIVATE KEY-----\nMIIEhunter2hunter2hunter2\naHVudGVyMmh1bnRlcjI=\n-----END PRIVATE KEY-----\n"
	for name, test := range map[string]struct {
		args, environ []string
		want          string
	}{
		"a PEM as an input":         {environ: []string{"INPUT_SET=" + pem}, want: "INPUT_SET: value 2, 4 of 4: is not path=value"},
		"its last line":             {environ: []string{"INPUT_SET=" + pem}, want: "INPUT_SET: value 3 of 4: is not path=value, but looks like a part of a value of several lines"},
		"a PEM as JSON":             {environ: []string{"INPUT_SET_JSON=" + pem}, want: "INPUT_SET_JSON: value 2, 4 of 4"},
		"a flag without =":          {args: []string{"--set", "hunter2"}, want: "--set: is not path=value"},
		"a value that is not whole": {args: []string{"--set", "pw=correct", "hunter2"}, want: "unexpected argument 3, after --set"},
		"one that looks like flags": {args: []string{"--set", "pw=correct", "-zhunter2"}, want: "a flag of one letter"},
	} {
		set := new(deploy.Settings).Declare()
		err := readSettings(context.Background(), set, Process{Args: test.args, Environ: test.environ}, nil, false)
		spellSettings(set, err)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		for _, part := range []string{"hunter2", "aHVud", "MIIE", "BEGIN", "END"} {
			if err != nil && strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is shown: %v", name, part, err)
			}
		}
	}
	set := new(build.Settings).Declare()
	err := readSettings(context.Background(), set, Process{Environ: []string{"INPUT_BUILD_ARGS=A=b\nhunter2\nC=hunter2\x07"}}, nil, false)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "value 2 of 3: is not name=value") {
		t.Errorf("build-args: got %v", err)
	}
}

// TestSpacesBelongToAValue: the end of a line of set is part of its value.
func TestSpacesBelongToAValue(t *testing.T) {
	t.Parallel()
	settings := new(deploy.Settings)
	_ = readSettings(context.Background(), settings.Declare(), Process{Environ: []string{"INPUT_SET=\n  a= b \n\n  c=d\r\n"}}, nil, false)
	if diff := cmp.Diff([]string{"a= b ", "c=d"}, settings.Set); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
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
		"an argument":                {[]string{"--name", "a", "b"}, "unexpected argument 3, after --name: give settings as flags"},
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
