package app_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/policy/policyfile"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	batch "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// Why a block of commands is not run by TestDocs.
const (
	needsAWS       = "needs an AWS account; terraform test runs the configurations with mocked providers"
	needsRelease   = "there is no release whose pipeline.yaml it would call: TestThePage of internal/app/initialize runs it with --pin"
	needsServices  = "needs a cluster and the services that the page supposes: matrix.txtar builds with such a file"
	needsStores    = "needs an AWS account and a cluster: deploy_secrets.txtar and the tests of internal/secretstore and internal/helm read and deploy secrets"
	needsGitHub    = "needs a repository on GitHub; e2e runs the workflows with act"
	needsNode      = "needs root and minutes: e2e starts the sandbox, and its own tests run the commands"
	setsUpShell    = "changes the reader's shell; onedigest.txtar runs the completion commands"
	recordedRun    = "a recorded run, its output below the command; e2e provokes the failure on a real node"
	recordedDemo   = "a recorded run, its output below the command; make demo takes minutes and root"
	policyAtWork   = "TestThePolicyPageAtWork runs the lines"
	needsCosign    = "a test of internal/app/images runs the command with cosign itself"
	needsSigstore  = "a test of internal/app/promote runs the command with cosign itself"
	needsTrivy     = "needs an image, Trivy and its database; TestExamplesRunAsPrinted runs scan with results of Trivy and a VEX document"
	needsTerraform = "needs Terraform and its providers; scripts/terraform.sh runs the same commands"
	needsInstall   = "needs a cluster with the image; e2e installs the chart on the node"
	needsArgoCD    = "needs a cluster with Argo CD; TestGitOps deploys so on a node"
	needsPreview   = "needs a cluster; TestPreviews runs the three modes on a node"
	needsRules     = "TestExamplesRunAsPrinted runs the same command in a work tree with rules"
)

// How TestDocs runs a block of commands.
const (
	run    = "run"
	dryRun = "dry-run" // make targets, which take minutes and root: their recipes are listed
)

// commandBlocks says of every block of commands, named by its file and first line without the comment, how the test runs it or
// why it does not.
var commandBlocks = map[string]string{
	"README.md: make demo":   dryRun,
	"README.md: $ make demo": recordedDemo,
	"README.md: $ deploy --environment staging --image 127.0.0.1:5510/shop@sha256:f2d48a3806d2… --values values-staging.yaml --values loud.yaml": recordedRun,
	"README.md: go build -o bin/onedigest ./cmd/onedigest":   run,
	"CONTRIBUTING.md: make check":                            dryRun,
	"docs/cli.md: go build -o bin/onedigest ./cmd/onedigest": run,
	"docs/cli.md: source <(onedigest completion bash)":       setsUpShell,
	"devenv/sandbox/README.md: bin/sandbox up":               needsNode,
	"docs/matrix.md: onedigest build   --matrix services.yaml --output json > built.json && DIGESTS=$(jq -c .digests built.json)":                           needsServices,
	`docs/workflow.md: onedigest init --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --role arn:aws:iam::123456789012:role/shop-build \`: needsRelease,
	"docs/matrix.md: onedigest pipeline --matrix services.yaml":                                                                                             needsServices,
	`docs/secrets.md: deploy --environment production --image "$IMAGE" \`:                                                                                   needsStores,
	"docs/demo.md: $ make demo":                       recordedDemo,
	"docs/demo.md: export PATH=~/onedigest/bin:$PATH": needsNode,
	`docs/demo.md: onedigest history --repository 127.0.0.1:5510/greeter --verify-key awskms:///alias/evidence`:                                                                                                               needsNode,
	`docs/demo.md: IMAGE=$(onedigest build --repository 127.0.0.1:5510/greeter --find "$(git rev-parse HEAD)" --output json | jq -r .image)`:                                                                                  needsNode,
	"docs/previews.md: onedigest init --previews --preview-repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop-preview --preview-role arn:aws:iam::123456789012:role/shop-preview --preview-cluster shop-preview": needsRelease,
	"docs/reference.md: $ deploy --environment staging --image 127.0.0.1:5510/shop@sha256:f2d48a3806d2… --values values-staging.yaml --values loud.yaml":                                                                      recordedRun,
	`docs/previews.md: onedigest preview --mode open --pull-request 17 --github-repository octo/shop --release shop --image "$IMAGE" --values deploy/preview.yaml`:                                                            needsPreview,
	`docs/gitops.md: onedigest deploy --via argo-cd --environment production --image "$IMAGE" --proved-in staging \`:                                                                                                          needsArgoCD,
	`docs/gitops.md: onedigest deploy --via argo-cd --environment production --image "$IMAGE" --proved-in staging \ (2)`:                                                                                                      needsArgoCD,
	`docs/policy.md: onedigest promote --image "$IMAGE" --to production --dry-run`:                                                                                                                                            policyAtWork,
	`docs/evidence.md: $ onedigest history --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --verify-key awskms:///alias/evidence-staging --board history.html`:                                              needsAWS,
	`docs/evidence.md: cosign verify-attestation --key cosign.pub --insecure-ignore-tlog=true \`:                                                                                                                              needsCosign,
	`docs/evidence.md: cosign verify-attestation --type https://in-toto.io/attestation/test-result/v0.1 \`:                                                                                                                    needsSigstore,
	`docs/policy.md: onedigest admission --format kyverno --environment production --repository "$REPOSITORY" --manifest kyverno.yaml`:                                                                                        needsRules,
	`docs/aws.md: export AWS_REGION=eu-central-1`:                                                                                                                                           needsAWS,
	`docs/aws.md: cd terraform/bootstrap`:                                                                                                                                                   needsAWS,
	`docs/aws.md: cp terraform/aws_infra/terraform.tfvars.example terraform/aws_infra/account.tfvars`:                                                                                       needsAWS,
	`docs/aws.md: cd terraform/aws_infra`:                                                                                                                                                   needsAWS,
	`docs/aws.md: terraform -chdir=terraform/aws_infra init -backend-config=../backend.hcl`:                                                                                                 needsAWS,
	`docs/aws.md: terraform -chdir=terraform/aws_infra output -json github_variables | jq -r 'to_entries[] | "\(.key) \(.value)"' |`:                                                        needsAWS,
	`docs/aws.md: gh api --method PUT repos/onedigest-example/shop/environments/staging --input - <<'END'`:                                                                                  needsGitHub,
	`docs/aws.md: terraform -chdir=terraform/platform init -backend-config=../backend.hcl -backend-config=key=platform/onedigest/terraform.tfstate`:                                         needsAWS,
	`docs/aws.md: for environment in staging production; do`:                                                                                                                                needsAWS,
	`docs/aws.md: sh -c "$(terraform -chdir=terraform/staging output -raw put_secrets)"`:                                                                                                    needsAWS,
	`docs/aws.md: git push origin main`:                                                                                                                                                     needsGitHub,
	`docs/aws.md: gh workflow run promote.yaml --repo onedigest-example/shop -f commit=FULL_SHA -f allow-rollback=true`:                                                                     needsGitHub,
	`docs/aws.md: commit=$(git rev-parse HEAD)`:                                                                                                                                             needsAWS,
	`docs/aws.md: cd terraform/production && terraform init && terraform apply -var="image_tag=1.0.0-prod"`:                                                                                 needsAWS,
	`docs/aws.md: terraform -chdir=terraform/aws_infra output -json chart_values | jq -r .production`:                                                                                       needsAWS,
	`docs/aws.md: for environment in production staging; do`:                                                                                                                                needsAWS,
	`docs/aws.md: bucket=$(terraform -chdir=terraform/platform output -raw logs_bucket)`:                                                                                                    needsAWS,
	`docs/aws.md: for environment in staging production production-plan; do gh api --method DELETE "repos/onedigest-example/shop/environments/$environment"; done`:                          needsGitHub,
	`docs/aws.md: terraform -chdir=terraform/aws_infra apply -var-file=account.tfvars -var deletion_protection=false`:                                                                       needsAWS,
	`docs/evidence.md: cosign verify-attestation --key cosign.pub --insecure-ignore-tlog=true --type cyclonedx "$IMAGE" | jq -r .payload | base64 -d | jq .predicate > sbom.json`:           needsCosign,
	`docs/evidence.md: trivy image --format sarif --output results.sarif "$IMAGE"`:                                                                                                          needsTrivy,
	`charts/service/README.md: helm upgrade --install shop charts/service --namespace staging --values terraform/staging/values-staging.yaml \`:                                             needsInstall,
	`terraform/aws_infra/README.md: cp terraform.tfvars.example account.tfvars`:                                                                                                             needsAWS,
	`terraform/aws_infra/README.md: terraform fmt -check -recursive && terraform init -backend=false && terraform validate && terraform test`:                                               needsTerraform,
	`terraform/bootstrap/README.md: cd terraform/bootstrap`:                                                                                                                                 needsAWS,
	`terraform/bootstrap/README.md: aws s3api list-object-versions --bucket BUCKET --prefix aws_infra/terraform.tfstate`:                                                                    needsAWS,
	`terraform/platform/README.md: cp backend.tf.example backend.tf`:                                                                                                                        needsAWS,
	`terraform/platform/README.md: for environment in staging production; do`:                                                                                                               needsAWS,
	`terraform/production/README.md: cp backend.tf.example backend.tf`:                                                                                                                      needsAWS,
	`terraform/staging/README.md: cp backend.tf.example backend.tf`:                                                                                                                         needsAWS,
	`docs/aws.md: cd terraform/bootstrap (2)`:                                                                                                                                               needsAWS,
	`docs/existing-cluster.md: aws iam create-open-id-connect-provider --url https://token.actions.githubusercontent.com --client-id-list sts.amazonaws.com`:                                needsAWS,
	`docs/existing-cluster.md: aws iam create-role --role-name shop-staging --max-session-duration 3600 --assume-role-policy-document file://trust.json`:                                    needsAWS,
	`docs/existing-cluster.md: aws eks create-access-entry --cluster-name shop-staging --principal-arn arn:aws:iam::123456789012:role/shop-staging --kubernetes-groups shop-deploy-staging`: needsAWS,
}

// block is a code block of a Markdown file.
type block struct {
	file string
	line int    // of its first line of content
	kind string // the word after the fence; "indented" for a block without a fence
	text string
}

// blocksOf reads the code blocks of a Markdown file, path being relative to the root of the repository.
func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	file, err := os.Open("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var blocks []block
	var open *block
	fenced, blank := false, true
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		fence := strings.HasPrefix(strings.TrimLeft(line, " "), "```")
		indented := !fenced && strings.HasPrefix(line, "    ")
		switch {
		case fence && fenced:
			fenced, open = false, nil
		case fence:
			blocks = append(blocks, block{file: path, line: number + 1, kind: strings.TrimLeft(line, " `")})
			fenced, open = true, &blocks[len(blocks)-1]
		case fenced:
			open.text += line + "\n"
		case indented && open == nil && blank: // an indented line in a paragraph or in a list continues it
			blocks = append(blocks, block{file: path, line: number, kind: "indented"})
			open = &blocks[len(blocks)-1]
			fallthrough
		case indented && open != nil:
			open.text += line[len("    "):] + "\n"
		default:
			open = nil
		}
		blank = strings.TrimSpace(line) == ""
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return blocks
}

// name is the file and the first line, without the comment at its end.
func (b block) name() string {
	first, _, _ := strings.Cut(b.text, "\n")
	return b.file + ": " + strings.TrimSpace(comment.ReplaceAllString(first, ""))
}

// commands reports whether a reader would type the block, or its first line, into a shell.
func (b block) commands() bool {
	return slices.Contains([]string{"sh", "bash", "shell", "console", "indented"}, b.kind) || b.kind == "text" && strings.HasPrefix(b.text, "$ ")
}

var (
	comment  = regexp.MustCompile(`\s+#.*`)
	makeLine = regexp.MustCompile(`(?m)^make ([a-z-]+)`)
	command  = regexp.MustCompile(`(?m)^(?:go run \./cmd/|onedigest |bin/onedigest )([a-z]+) (.*)$`)
	inline   = regexp.MustCompile("`(?:go run \\./cmd/|onedigest |bin/onedigest )?(" + strings.Join(verbNames(), "|") + ") (--[^`]*)`")
	flagName = regexp.MustCompile(`--([a-z-]+)`)
	variable = regexp.MustCompile(`(?m)^#? ?([a-z_]+) += `)
)

// verbNames are the names of all verbs.
func verbNames() (names []string) {
	for _, command := range onedigest.Verbs() {
		names = append(names, command.Verb.Name)
	}
	return names
}

// TestDocs runs the code blocks of the documentation. Commands run, or commandBlocks says why not; they are a shell's syntax and
// name flags that exist all the same. Checks, matrices and workflows in YAML are read by what reads them in use, and a template (gotmpl) is
// rendered. A text is output, or a command with its output below; every block says what it is.
func TestDocs(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	for _, path := range documents(t) {
		for _, b := range blocksOf(t, path) {
			name := b.name()
			if found[name]++; found[name] > 1 {
				name += fmt.Sprintf(" (%d)", found[name])
				found[name]++
			}
			switch {
			case b.commands():
				t.Run(name, func(t *testing.T) { testCommands(t, b, name) })
			case b.kind == "yaml":
				t.Run(name, func(t *testing.T) { testYAML(t, b) })
			case b.kind == "json":
				t.Run(name, func(t *testing.T) {
					if !json.Valid([]byte(b.text)) {
						t.Errorf("%s:%d: no JSON", b.file, b.line)
					}
				})
			case b.kind == "hcl":
				t.Run(name, func(t *testing.T) { testVariables(t, b) })
			case b.kind == "gotmpl":
				t.Run(name, func(t *testing.T) { testTemplate(t, b) })
			case b.kind == "":
				t.Errorf("%s:%d: the block has no language: %q; output is text", b.file, b.line, name)
			case b.kind != "text" && b.kind != "mermaid":
				t.Errorf("%s:%d: no reader of %q: add one to this test", b.file, b.line, b.kind)
			}
		}
	}
	for name := range commandBlocks {
		if found[name] == 0 {
			t.Errorf("%s: the documentation has no such block", name)
		}
	}
}

// documents are the Markdown files that users and contributors are sent to.
func documents(t *testing.T) []string {
	t.Helper()
	paths := []string{"devenv/sandbox/README.md", "charts/service/README.md"}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "terraform/*/README.md"} {
		matches, err := fs.Glob(os.DirFS("../.."), pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, matches...)
	}
	return paths
}

func testCommands(t *testing.T, b block, name string) {
	t.Helper()
	if b.file == "docs/reference.md" && b.kind == "sh" { // generated
		for _, command := range onedigest.Verbs() {
			for _, example := range command.Verb.Examples {
				if b.text == "# "+example.Does+"\nonedigest "+command.Verb.Name+" "+example.Line+"\n" {
					return // TestExamplesRunAsPrinted runs it
				}
			}
		}
		t.Errorf("%s:%d: no verb has this example", b.file, b.line)
		return
	}
	how, listed := commandBlocks[name]
	if !listed {
		t.Errorf("%s:%d: run this block, or say in commandBlocks why not: %q", b.file, b.line, name)
		return
	}
	if b.kind != "text" { // in a text, output follows the command
		shell(t, "-n", b.text)
		testFlags(t, fmt.Sprintf("%s:%d", b.file, b.line), command.FindAllStringSubmatch(b.text, -1))
	}
	switch how {
	case run:
		shell(t, "-euo", strings.ReplaceAll(b.text, "bin/", t.TempDir()+"/"))
	case dryRun:
		targets := makeLine.FindAllStringSubmatch(b.text, -1)
		if len(targets) != strings.Count(b.text, "\n") {
			t.Errorf("%s:%d: not only make and a target", b.file, b.line)
		}
		for _, target := range targets {
			shell(t, "-euo", "make --dry-run "+target[1])
		}
	}
}

// testFlags requires that every verb in a text exists and has the flags given; where is the text's place.
func testFlags(t *testing.T, where string, lines [][]string) {
	t.Helper()
	verbs := onedigest.Verbs()
	for _, line := range lines {
		i := slices.IndexFunc(verbs, func(c app.Command) bool { return c.Verb.Name == line[1] })
		if i < 0 {
			t.Errorf("%s: there is no verb %q", where, line[1])
			continue
		}
		for _, flag := range flagName.FindAllStringSubmatch(line[2], -1) {
			if flag[1] != "help" && flag[1] != "output" && verbs[i].Settings().Lookup(flag[1]) == nil {
				t.Errorf("%s: %s has no flag --%s", where, line[1], flag[1])
			}
		}
	}
}

// TestDocsNameFlagsThatExist reads the commands inside of sentences.
func TestDocsNameFlagsThatExist(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range documents(t) {
		content, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		lines := inline.FindAllStringSubmatch(string(content), -1)
		testFlags(t, path, lines)
		found += len(lines)
	}
	if found == 0 {
		t.Error("no command found; the regular expression is wrong")
	}
}

// shell runs a script with bash in the root of the repository.
func shell(t *testing.T, options, script string) {
	t.Helper()
	args := []string{options}
	if options == "-euo" {
		args = append(args, "pipefail")
	}
	command := exec.CommandContext(t.Context(), "bash", append(args, "-c", script)...)
	command.Dir = "../.."
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, script, output)
	}
}

// testYAML reads a block with what reads it in use.
func testYAML(t *testing.T, b block) {
	t.Helper()
	var content map[string]any
	if err := yaml.UnmarshalStrict([]byte(b.text), &content); err != nil {
		t.Fatalf("%s:%d: %v", b.file, b.line, err)
	}
	var err error
	switch {
	case content["checks"] != nil:
		_, err = probe.LoadChecks(b.file, []byte(b.text))
	case content["waves"] != nil:
		image := "registry.example.com/shop@sha256:" + strings.Repeat("a", 64)
		_, err = deploy.ParseMatrix(b.file, []byte(b.text), matrix.Options{Inputs: setting.Values{"image": {Texts: []string{image}}}})
	case content["services"] != nil:
		testMatrix(t, b)
	case content["version"] != nil && content["environments"] != nil:
		_, err = policyfile.Parse(b.file, []byte(b.text))
	case content["kind"] == "Application", content["kind"] == "AppProject", content["source"] != nil: // TestGitOps creates them on a node
	case strings.Contains(fmt.Sprint(content["apiVersion"]), ".toolkit.fluxcd.io/"): // internal/gitops, flux_test.go
	case content["jobs"] != nil:
		testUses(t, b.file, []byte(b.text))
	default:
		testValues(t, b, content)
	}
	if err != nil {
		t.Errorf("%s:%d: %v", b.file, b.line, err)
	}
}

// testTemplate renders a template of a chart for an image, and reads what comes out.
func testTemplate(t *testing.T, b block) {
	t.Helper()
	of := &chart.Chart{Metadata: &chart.Metadata{Name: "shop"}, Templates: []*chart.File{{Name: "templates/a.yaml", Data: []byte(b.text)}}}
	values := chartutil.Values{"image": map[string]any{"repository": "registry.example.com/shop", "digest": "sha256:" + strings.Repeat("a", 64)}}
	rendered, err := engine.Engine{Strict: true}.Render(of, chartutil.Values{"Values": values, "Release": map[string]any{"Name": "shop"}})
	if err != nil {
		t.Fatalf("%s:%d: %v", b.file, b.line, err)
	}
	var job batch.Job
	if err := yaml.UnmarshalStrict([]byte(rendered["shop/templates/a.yaml"]), &job); err != nil || job.Kind != "Job" || job.Name != "shop-migrate" {
		t.Errorf("%s:%d: %v: %s", b.file, b.line, err, rendered)
	}
}

// testMatrix reads a block as each verb does.
func testMatrix(t *testing.T, b block) {
	t.Helper()
	var listed struct {
		Services     []struct{ Name string }
		Environments []struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(b.text), &listed); err != nil {
		t.Fatal(err)
	}
	options := matrix.Options{Inputs: setting.Values{}, Digests: map[string]release.Digest{}}
	for _, service := range listed.Services {
		options.Digests[service.Name], _ = release.ParseDigest("sha256:" + strings.Repeat("a", 64))
	}
	for _, environment := range listed.Environments {
		options.Inputs["environment"] = setting.Input{Texts: []string{environment.Name}}
		_, deploys := deploy.ParseMatrix(b.file, []byte(b.text), options)
		_, smokes := matrix.Parse(smoke.MatrixVerb, b.file, []byte(b.text), options)
		if err := errors.Join(deploys, smokes); err != nil {
			t.Errorf("%s:%d: %v", b.file, b.line, err)
		}
	}
	options.Inputs = nil
	_, promotions := matrix.Parse(promote.MatrixVerb, b.file, []byte(b.text), options)
	options.Digests = nil
	_, builds := matrix.Parse(build.MatrixVerb, b.file, []byte(b.text), options)
	if err := errors.Join(builds, promotions); err != nil {
		t.Errorf("%s:%d: %v", b.file, b.line, err)
	}
}

// testUses requires that a workflow gives this repository's actions only inputs that they declare, and all that they require.
func testUses(t *testing.T, file string, content []byte) {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Uses  string
			With  map[string]any
			Steps []struct {
				Uses string
				With map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(content, &workflow); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, job := range workflow.Jobs {
		if job.Uses != "" {
			testCall(t, file, job.Uses, job.With)
		}
		for _, step := range job.Steps {
			path, own := strings.CutPrefix(step.Uses, "onedigest/onedigest/")
			if path, _, _ = strings.Cut(path, "@"); !own && !strings.HasPrefix(path, "./") {
				continue
			}
			text, err := os.ReadFile(filepath.Join("../..", path, "action.yml"))
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var action struct {
				Inputs map[string]struct{ Required bool }
			}
			if err := yaml.Unmarshal(text, &action); err != nil {
				t.Fatal(err)
			}
			for input := range step.With {
				if _, declared := action.Inputs[input]; !declared {
					t.Errorf("%s: %s has no input %q", file, step.Uses, input)
				}
			}
			for name, input := range action.Inputs {
				if input.Required && step.With[name] == nil {
					t.Errorf("%s: %s requires the input %q", file, step.Uses, name)
				}
			}
		}
	}
}

// testCall requires the same of a call of a reusable workflow.
func testCall(t *testing.T, file, uses string, with map[string]any) {
	t.Helper()
	path, _, _ := strings.Cut(strings.TrimPrefix(uses, "onedigest/onedigest/"), "@")
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	var called struct {
		On map[string]struct {
			Inputs map[string]struct{ Required bool }
		} `json:"true"` // YAML 1.1 reads the key on as a boolean
	}
	if err := yaml.Unmarshal(text, &called); err != nil {
		t.Fatal(err)
	}
	inputs := called.On["workflow_call"].Inputs
	for name := range with {
		if _, declared := inputs[name]; !declared {
			t.Errorf("%s: %s has no input %q", file, path, name)
		}
	}
	for name, input := range inputs {
		if input.Required && with[name] == nil {
			t.Errorf("%s: %s requires the input %q", file, path, name)
		}
	}
}

// TestDevcontainer: the container has the Go of go.mod, and the node's directory is on a volume, because containerd's overlays do not go on top of the container's.
func TestDevcontainer(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../.devcontainer/devcontainer.json")
	if err != nil {
		t.Fatal(err)
	}
	var container struct {
		Image        string
		RemoteUser   string
		Privileged   bool
		ContainerEnv map[string]string
		Mounts       []struct{ Target, Type string }
	}
	if err := json.Unmarshal(content, &container); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if version == nil || container.Image != "golang:"+string(version[1])+"-bookworm" || container.RemoteUser != "root" || !container.Privileged {
		t.Errorf("go.mod needs Go %s, the container is %+v", version, container)
	}
	if dir := container.ContainerEnv["ONEDIGEST_SANDBOX_DIR"]; len(container.Mounts) != 1 || container.Mounts[0].Type != "volume" || !strings.HasPrefix(dir, container.Mounts[0].Target+"/") {
		t.Errorf("%q is not below the volume %+v", dir, container.Mounts)
	}
}

// TestWorkflowPage: docs/workflow.md has every input of pipeline.yaml, with its description.
func TestWorkflowPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/workflow.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../.github/workflows/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var called struct {
		On map[string]struct {
			Inputs map[string]struct{ Description string }
		} `json:"true"`
	}
	if err := yaml.Unmarshal(text, &called); err != nil {
		t.Fatal(err)
	}
	inputs := called.On["workflow_call"].Inputs
	for name, input := range inputs {
		if row := "| `" + name + "` | "; !strings.Contains(string(page), row) || !strings.Contains(string(page), " | "+input.Description+" |\n") {
			t.Errorf("docs/workflow.md lacks the input %s: %s", name, input.Description)
		}
	}
	if len(inputs) == 0 {
		t.Error("pipeline.yaml has no inputs")
	}
}

// TestExistingClusterPage: docs/existing-cluster.md grants the actions of AWS that Terraform grants to the roles of GitHub's jobs.
func TestExistingClusterPage(t *testing.T) {
	t.Parallel()
	action := regexp.MustCompile(`"(?:ecr|eks|kms|sts):[A-Z]\w+"`)
	granted := map[string]bool{}
	for _, path := range []string{"oidc_github.tf", "ecr.tf"} {
		text, err := os.ReadFile("../../terraform/aws_infra/" + path)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range action.FindAllString(string(text), -1) {
			granted[each] = true
		}
	}
	listed := map[string]bool{}
	for _, b := range blocksOf(t, "docs/existing-cluster.md") {
		if b.kind != "json" {
			continue
		}
		for _, each := range action.FindAllString(b.text, -1) {
			listed[each] = true
		}
	}
	if len(listed) == 0 || !maps.Equal(listed, granted) {
		t.Errorf("the page lists %v, Terraform grants %v", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(granted)))
	}
}

// TestWorkflowsUseDeclaredInputs is the same for the workflows themselves.
func TestWorkflowsUseDeclaredInputs(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		testUses(t, path, content)
	}
}

// testValues requires that the values of a chart are values of charts/service.
func testValues(t *testing.T, b block, content map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../../charts/service/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		if _, declared := schema.Properties[name]; !declared {
			t.Errorf("%s:%d: %q is neither a key of checks, a matrix or a workflow, nor a value of charts/service", b.file, b.line, name)
		}
	}
}

// testVariables requires that some Terraform configuration declares each variable that a block sets.
func testVariables(t *testing.T, b block) {
	t.Helper()
	var declared strings.Builder
	paths, err := filepath.Glob("../../terraform/*/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		declared.Write(content)
	}
	for _, set := range variable.FindAllStringSubmatch(b.text, -1) {
		if !strings.Contains(declared.String(), "variable \""+set[1]+"\"") {
			t.Errorf("%s:%d: no configuration in terraform/ has a variable %q", b.file, b.line, set[1])
		}
	}
}
