package helm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
)

// Limits on what is read, in bytes: a chart larger than this does not fit into Helm's record of the release anyway.
const (
	maxChart  = 8 << 20
	maxValues = 1 << 20
)

// Check finds everything that is wrong with a deployment's chart and values without asking the cluster: the chart
// loads, every values file is YAML, the values fit the chart's schema, the templates render, and some container runs
// exactly the image. All problems at once, as *release.InputError.
func (c *Client) Check(deployment release.Deployment) error {
	manifest, err := render(deployment)
	if err != nil {
		return err
	}
	return pinned(manifest, deployment)
}

// render is the manifest as it would be applied, rendered without a cluster.
func render(deployment release.Deployment) (string, error) {
	loaded, values, err := load(deployment)
	if err != nil {
		return "", err
	}
	install := action.NewInstall(new(action.Configuration))
	install.ClientOnly, install.DryRun = true, true
	install.ReleaseName, install.Namespace = deployment.Name, deployment.Namespace
	install.PostRenderer = stamp{deployment}
	rendered, err := install.Run(loaded, values)
	if err != nil {
		return "", release.BadInput("chart "+quoted(loaded.Name()), strings.TrimSpace(err.Error()), "mend the values or the chart")
	}
	return rendered.Manifest, nil
}

// load reads the chart and merges the values: files in their order, then the assignments, then the image.
func load(deployment release.Deployment) (*chart.Chart, map[string]any, error) {
	var problems []release.Problem
	loaded, err := loadChart(deployment.Chart)
	if err != nil {
		problems = append(problems, release.Problem{Where: "--chart (INPUT_CHART)", What: err.Error(), Do: "name a directory with a Chart.yaml, or a packaged chart"})
	}
	values := map[string]any{}
	for _, file := range deployment.ValuesFiles {
		read, problem := loadValues(file)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		values = chartutil.MergeTables(read, values)
	}
	for _, assignment := range deployment.Set {
		if err := strvals.ParseIntoString(assignment, values); err != nil {
			problems = append(problems, release.Problem{Where: "--set (INPUT_SET)", What: fmt.Sprintf("%q: %v", assignment, err), Do: "write it as name=value"})
		}
	}
	if len(problems) > 0 {
		return nil, nil, &release.InputError{Problems: problems}
	}
	image := map[string]any{"repository": deployment.Image.Repository.String(), "digest": deployment.Image.Digest.String()}
	return loaded, chartutil.MergeTables(map[string]any{"image": image}, values), nil
}

func loadChart(path string) (*chart.Chart, error) {
	var size int64
	err := filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading chart %q: %w", path, err)
	}
	if size > maxChart {
		return nil, fmt.Errorf("chart %q is %d bytes, limit %d", path, size, maxChart)
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("%q is not a chart: %w", path, err)
	}
	if err := loaded.Validate(); err != nil {
		return nil, fmt.Errorf("chart %q: %w", path, err)
	}
	if missing := action.CheckDependencies(loaded, loaded.Metadata.Dependencies); missing != nil {
		return nil, fmt.Errorf("chart %q: %w", path, missing)
	}
	return loaded, nil
}

func loadValues(file string) (map[string]any, *release.Problem) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxValues {
		err = fmt.Errorf("%d bytes, limit %d", info.Size(), maxValues)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, &release.Problem{Where: "--values (INPUT_VALUES)", What: fmt.Sprintf("reading %q: %v", file, err)}
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(content, &values); err != nil {
		return nil, yamlProblem(file, err)
	}
	// Numbers and nested maps the way Helm's own reader gives them to templates.
	plain, err := chartutil.ReadValues(content)
	if err != nil {
		return nil, &release.Problem{Where: file, What: "is not YAML: " + err.Error()}
	}
	return plain, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s+)?line (\d+): (.*)`)

// yamlProblem says where in the file a YAML error is.
func yamlProblem(file string, err error) *release.Problem {
	where, what := file, err.Error()
	if match := yamlLine.FindStringSubmatch(what); match != nil {
		where, what = file+":"+match[1], match[2]
	}
	return &release.Problem{Where: where, What: "is not a YAML map of values: " + what}
}

func quoted(text string) string { return fmt.Sprintf("%q", text) }
