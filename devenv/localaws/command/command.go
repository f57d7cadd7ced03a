// Package command is the localaws command: it runs the local AWS in the foreground or in the background, reports its status, and
// stops it.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

// Process is the environment of the command.
type Process struct {
	Args           []string // without the program's name
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Executable     func() (string, error) // the program to run again in the background
}

const usage = `localaws is a local fake of AWS: ECR, EKS and STS endpoints and a container registry with ECR's rules,
on one address of this machine.

Usage:
  localaws up [flags]       start it in the background, unless it is up; create missing repositories,
                            register clusters
  localaws status [flags]   report whether it is up (exit code 0) or not (1)
  localaws env [flags]      print the environment with which AWS SDKs and the aws command use it
  localaws down [flags]     stop it
  localaws serve [flags]    run it in the foreground until interrupted

Flags:
%s
Examples:
  localaws up --repository shop=IMMUTABLE --repository team/app --key alias/evidence
  localaws up --repository 'shop=IMMUTABLE_WITH_EXCLUSION:latest,dev-*'
  eval "$(localaws env)" && aws ecr describe-repositories
  aws ecr get-login-password | docker login --username AWS --password-stdin 127.0.0.1:5510
  localaws status --output json
  localaws down --purge

To let a cluster authenticate its users by EKS tokens, its API server asks the webhook http://ADDR/_localaws/eks/NAME/tokenreview.
  localaws up
  sandbox up --token-webhook http://127.0.0.1:5510/_localaws/eks/shop/tokenreview
  localaws up --eks-cluster shop="$(sandbox kubeconfig)" --eks-group onedigest:deployers
  eval "$(localaws env)" && aws eks get-token --cluster-name shop

Exit codes: 0 done, 1 not up or refused, 2 bad input, 3 fault.
`

// settings are the flags of every subcommand.
type settings struct {
	address      string
	dir          string
	output       string
	repositories []string
	keys         []string // aliases
	clusters     []string // NAME=KUBECONFIG
	groups       []string
	tokenLife    time.Duration
	purge        bool
	help         bool
	wanted       []wantedRepository
	parsed       []localaws.Cluster // from clusters and groups
	addressSet   bool
	tokenLifeSet bool
}

const defaultAddress = "127.0.0.1:5510"

// accepts lists the flags of each subcommand.
var accepts = map[string][]string{
	"up":     {"addr", "dir", "repository", "key", "eks-cluster", "eks-group", "eks-token-life"},
	"serve":  {"addr", "dir", "repository", "key", "eks-cluster", "eks-group", "eks-token-life"},
	"down":   {"dir", "purge"},
	"status": {"dir", "output"},
	"env":    {"dir"},
}

// errorPrefix starts the message of a failed command.
const errorPrefix = "localaws: "

// Run runs the command and returns its exit code.
func Run(ctx context.Context, p Process) int {
	err := run(ctx, p)
	if err != nil {
		fmt.Fprintf(p.Stderr, errorPrefix+"%v\n", err)
	}
	return release.ExitCode(err)
}

func run(ctx context.Context, p Process) error {
	var chosen settings
	flags := declare(&chosen, p.Getenv)
	if err := flags.Parse(p.Args); err != nil {
		return release.BadInput("", err.Error(), "see localaws --help")
	}
	if chosen.help || flags.NArg() == 1 && flags.Arg(0) == "help" {
		fmt.Fprintf(p.Stdout, usage, flags.FlagUsages())
		return nil
	}
	if flags.NArg() != 1 {
		return release.BadInput("", "give one subcommand: up, status, env, down or serve", "see localaws --help")
	}
	subcommand := flags.Arg(0)
	if err := chosen.check(subcommand, flags); err != nil {
		return err
	}
	switch subcommand {
	case "up":
		return up(ctx, p, chosen)
	case "serve":
		return serve(ctx, p, chosen)
	case "down":
		return down(ctx, p, chosen)
	case "status":
		return status(ctx, p, chosen)
	default:
		return env(ctx, p, chosen)
	}
}

// declare declares the flags of all subcommands.
func declare(chosen *settings, getenv func(string) string) *pflag.FlagSet {
	flags := pflag.NewFlagSet("localaws", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&chosen.address, "addr", defaultAddress, "loopback address and port to listen on; port 0 takes a free one")
	flags.StringVar(&chosen.dir, "dir", defaultDir(getenv), "directory for the server's state, absolute or relative")
	flags.StringArrayVar(&chosen.repositories, "repository", nil,
		"repository to create, as NAME or NAME=RULE (MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION:FILTER,...\n"+
			"or MUTABLE_WITH_EXCLUSION:FILTER,...); may be given again")
	flags.StringArrayVar(&chosen.keys, "key", nil,
		"alias of a key of AWS KMS to create, which signs with ECDSA P-256: alias/NAME; may be given again")
	flags.StringArrayVar(&chosen.clusters, "eks-cluster", nil,
		"EKS cluster to register, as NAME=KUBECONFIG: its endpoint and authority are those of the file's current\n"+
			"context; may be given again. The server forgets it when it ends")
	flags.StringArrayVar(&chosen.groups, "eks-group", nil,
		"with --eks-cluster: Kubernetes group of the server's one user in those clusters; may be given again")
	flags.DurationVar(&chosen.tokenLife, "eks-token-life", 15*time.Minute, "how long a token for a cluster is valid, at most 15m")
	flags.StringVar(&chosen.output, "output", "text", "form of the status: text or json")
	flags.BoolVar(&chosen.purge, "purge", false, "with down: delete the server's state")
	flags.BoolVarP(&chosen.help, "help", "h", false, "print this help")
	return flags
}

// defaultDir follows the XDG Base Directory Specification; it is "" if the environment has no home directory.
func defaultDir(getenv func(string) string) string {
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "onedigest", "localaws")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "onedigest", "localaws")
	}
	return ""
}

// check parses the flags' values and reports all problems at once.
func (s *settings) check(subcommand string, flags *pflag.FlagSet) error {
	accepted, known := accepts[subcommand]
	if !known {
		return release.BadInput("", fmt.Sprintf("%q is not a subcommand", subcommand), "use up, status, env, down or serve")
	}
	var problems []release.Problem
	problem := func(where, what, do string) {
		problems = append(problems, release.Problem{Where: where, What: what, Do: do})
	}
	flags.Visit(func(flag *pflag.Flag) {
		if !slices.Contains(accepted, flag.Name) {
			problem("--"+flag.Name, "not a flag of localaws "+subcommand, "")
		}
	})
	if address, err := netip.ParseAddrPort(s.address); err != nil {
		problem("--addr", fmt.Sprintf("%q is not an address and a port", s.address), "write it as "+defaultAddress)
	} else if !address.Addr().IsLoopback() {
		problem("--addr", fmt.Sprintf("%s is not a loopback address", address.Addr()),
			"the credentials are public, so the server must be reachable from this machine only")
	}
	s.addressSet = flags.Changed("addr")
	if s.output != "text" && s.output != "json" {
		problem("--output", fmt.Sprintf("%q is not a form", s.output), "use text or json")
	}
	switch dir, err := filepath.Abs(s.dir); {
	case s.dir == "":
		problem("--dir", "there is no default without HOME or XDG_STATE_HOME", "give a directory")
	case err != nil:
		problem("--dir", err.Error(), "give an absolute directory")
	default:
		s.dir = dir
	}
	for _, text := range s.repositories {
		parsed, err := parseRepository(text)
		if err != nil {
			problem("--repository", err.Error(), "")
		}
		s.wanted = append(s.wanted, parsed)
	}
	for _, alias := range s.keys {
		if err := localaws.CheckAlias(alias); err != nil {
			problem("--key", err.Error(), "write it as alias/NAME")
		}
	}
	s.tokenLifeSet = flags.Changed("eks-token-life")
	if s.tokenLife <= 0 || s.tokenLife > 15*time.Minute {
		problem("--eks-token-life", fmt.Sprintf("%s is not between 0 and 15m", s.tokenLife), "")
	}
	if len(s.groups) > 0 && len(s.clusters) == 0 {
		problem("--eks-group", "there is no cluster", "give --eks-cluster too")
	}
	for _, text := range s.clusters {
		cluster, err := s.parseCluster(text)
		if err != nil {
			problem("--eks-cluster", err.Error(), "")
		}
		s.parsed = append(s.parsed, cluster)
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// parseCluster parses NAME=KUBECONFIG.
func (s *settings) parseCluster(text string) (localaws.Cluster, error) {
	name, file, found := strings.Cut(text, "=")
	if !found || name == "" || file == "" {
		return localaws.Cluster{}, fmt.Errorf("%q is not NAME=KUBECONFIG", text)
	}
	cluster, err := localaws.ClusterFromKubeconfig(name, file)
	cluster.Access = []localaws.AccessEntry{{Groups: s.groups}}
	return cluster, err
}

// wantedRepository is a repository of the flags; without a rule, an existing repository keeps its own.
type wantedRepository struct {
	name string
	rule *localaws.TagRule
}

// parseRepository parses NAME, NAME=MUTABILITY or NAME=MUTABILITY:FILTER,FILTER.
func parseRepository(text string) (wantedRepository, error) {
	name, ruleText, hasRule := strings.Cut(text, "=")
	parsed := wantedRepository{name: name}
	if hasRule {
		mutability, filters, _ := strings.Cut(ruleText, ":")
		parsed.rule = &localaws.TagRule{Mutability: localaws.Mutability(mutability)}
		if filters != "" {
			parsed.rule.Exclude = strings.Split(filters, ",")
		}
	}
	if err := localaws.CheckRepository(parsed.name, parsed.rule); err != nil {
		return parsed, fmt.Errorf("%q: %w", text, err)
	}
	return parsed, nil
}

// errNotUp returns the error of a command that needs a running server.
func errNotUp(dir string) error {
	return &release.Failure{What: fmt.Sprintf("local AWS is not up (nothing runs on %s)", dir), Do: "start it with localaws up"}
}

var errExited = errors.New("it ended")
