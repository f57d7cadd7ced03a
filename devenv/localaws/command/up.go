package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	startLimit = 15 * time.Second
	pause      = 20 * time.Millisecond
	side       = "local AWS"
)

// serve runs a server until the context ends.
func serve(ctx context.Context, p Process, chosen settings) (err error) {
	server, err := localaws.New(localaws.Options{
		Dir: chosen.dir, ClusterTokenLife: chosen.tokenLife, Log: slog.New(slog.NewTextHandler(p.Stderr, nil)),
	})
	if err != nil {
		return release.NewFault(side, "stop the other one, or choose another --dir", err, "opening %q", chosen.dir)
	}
	defer func() {
		if closing := server.Close(); closing != nil && err == nil {
			err = release.NewFault(side, "", closing, "closing %q", chosen.dir)
		}
	}()
	for _, one := range chosen.wanted {
		var rule localaws.TagRule
		if one.rule != nil {
			rule = *one.rule
		} else if server.HasRepository(one.name) {
			continue
		}
		if err := server.CreateRepository(one.name, rule); err != nil {
			return release.NewFault(side, "", err, "creating repository %q", one.name)
		}
	}
	for _, alias := range chosen.keys {
		if _, err := server.CreateKey(alias); err != nil {
			return release.NewFault(side, "", err, "creating key %q", alias)
		}
	}
	for _, cluster := range chosen.parsed {
		if err := server.PutCluster(cluster); err != nil {
			return release.NewFault(side, "", err, "registering cluster %q", cluster.Name)
		}
	}
	if err := server.Start(chosen.address); err != nil {
		return release.NewFault(side, "choose another --addr", err, "serving")
	}
	started, err := startTime(os.Getpid())
	if err != nil {
		return release.NewFault(side, "", err, "reading the start time of process %d", os.Getpid())
	}
	if err := (running{PID: os.Getpid(), Started: started, Address: server.Address()}).write(chosen.dir); err != nil {
		return release.NewFault(side, "", err, "serving")
	}
	defer func() { _ = os.Remove(stateFile(chosen.dir)) }()
	fmt.Fprintf(p.Stdout, "serving on %s, state in %s\n", server.URL(), chosen.dir)
	if err := server.Wait(ctx); err != nil {
		return release.NewFault(side, "", err, "serving from %q", chosen.dir)
	}
	return nil
}

// up starts a server in the background, unless one runs, and creates the repositories and registers the clusters in its flags.
func up(ctx context.Context, p Process, chosen settings) error {
	if err := os.MkdirAll(chosen.dir, 0o700); err != nil {
		return release.NewFault(side, "choose another --dir", err, "making %q", chosen.dir)
	}
	done, err := exclusive(ctx, chosen.dir)
	if err != nil {
		return release.NewFault(side, "", err, "using %q", chosen.dir)
	}
	defer done()
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	state := "already up"
	switch {
	case alive && chosen.addressSet && found.Address != chosen.address && !strings.HasSuffix(chosen.address, ":0"):
		return &release.Refusal{
			Why: fmt.Sprintf("local AWS is already up at %s, not at %s", found.Address, chosen.address),
			Do:  "stop it with localaws down, or leave out --addr",
		}
	case !alive:
		state = "up"
		if found, err = launch(ctx, p, chosen); err != nil {
			return err
		}
	}
	current, err := askStatus(ctx, found)
	if err != nil {
		return release.NewFault(side, "read "+logFile(chosen.dir), err, "reaching process %d", found.PID)
	}
	if chosen.tokenLifeSet && current.TokenSeconds != chosen.tokenLife.Seconds() {
		return &release.Refusal{
			Why: fmt.Sprintf("local AWS is already up, with tokens for clusters that are valid for %g s, not %g s", current.TokenSeconds, chosen.tokenLife.Seconds()),
			Do:  "stop it with localaws down, or leave out --eks-token-life",
		}
	}
	for _, one := range chosen.wanted {
		if err := ensure(ctx, found, one); err != nil {
			return release.NewFault(side, "", err, "creating repository %q", one.name)
		}
	}
	for _, alias := range chosen.keys {
		if err := ensureKey(ctx, found, alias); err != nil {
			return release.NewFault(side, "", err, "creating key %q", alias)
		}
	}
	for _, cluster := range chosen.parsed {
		if err := putCluster(ctx, found, cluster); err != nil {
			return release.NewFault(side, "", err, "registering cluster %q", cluster.Name)
		}
	}
	fmt.Fprintf(p.Stdout, "%s at %s (process %d), state in %s\n", state, found.url(), found.PID, chosen.dir)
	return nil
}

// launch starts this program again, as serve in a session of its own, and waits until it serves or ends.
func launch(ctx context.Context, p Process, chosen settings) (running, error) {
	fault := func(err error) (running, error) {
		return running{}, release.NewFault(side, "read "+logFile(chosen.dir), err, "starting it in %q", chosen.dir)
	}
	program, err := p.Executable()
	if err != nil {
		return fault(err)
	}
	log, err := os.OpenFile(logFile(chosen.dir), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fault(err)
	}
	defer func() { _ = log.Close() }()
	// The context is not cancelled with ctx, because the server outlives this process.
	arguments := []string{"serve", "--addr", chosen.address, "--dir", chosen.dir, "--eks-token-life", chosen.tokenLife.String()}
	background := exec.CommandContext(context.WithoutCancel(ctx), program, arguments...) // #nosec G204 -- this program
	background.Dir, background.Env, background.Stdout, background.Stderr = "/", []string{}, log, log
	detach(background)
	if err := background.Start(); err != nil {
		return fault(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- background.Wait() }()

	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if found, alive, err := readRunning(chosen.dir); err == nil && alive {
			if _, err := askStatus(ctx, found); err == nil {
				return found, nil
			}
		}
		select {
		case err := <-ended:
			return fault(errors.Join(errExited, err, loggedError(logFile(chosen.dir))))
		case <-ctx.Done():
			_ = background.Process.Kill()
			return fault(fmt.Errorf("it did not answer: %w", ctx.Err()))
		case <-time.After(pause):
		}
	}
}

// loggedError returns the last error message in a server's log, nil if there is none, or why the log cannot be read.
func loggedError(path string) error {
	text, err := os.ReadFile(path) // #nosec G304 -- the server's own log
	if err != nil {
		return err
	}
	var logged error
	for line := range strings.Lines(string(text)) {
		if message, found := strings.CutPrefix(strings.TrimSpace(line), errorPrefix); found {
			logged = errors.New(message)
		}
	}
	return logged
}

// credentials are those of the server's one user.
var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: localaws.DefaultAccessKeyID, SecretAccessKey: localaws.DefaultSecretAccessKey}, nil
})

// ensureKey creates a key with an alias through the API, unless the alias names one.
func ensureKey(ctx context.Context, at running, alias string) error {
	client := kms.New(kms.Options{Region: localaws.DefaultRegion, BaseEndpoint: aws.String(at.url()), Credentials: credentials})
	var absent *kmstypes.NotFoundException
	if _, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &alias}); !errors.As(err, &absent) {
		return err
	}
	made, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: kmstypes.KeySpecEccNistP256, KeyUsage: kmstypes.KeyUsageTypeSignVerify})
	if err != nil {
		return err
	}
	_, err = client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: made.KeyMetadata.KeyId})
	return err
}

// ensure creates a repository through the API, or gives an existing one the rule, if there is a rule.
func ensure(ctx context.Context, at running, one wantedRepository) error {
	client := ecr.New(ecr.Options{
		Region: localaws.DefaultRegion, BaseEndpoint: aws.String(at.url()),
		Credentials: credentials,
	})
	rule := localaws.TagRule{Mutability: localaws.Mutable}
	if one.rule != nil {
		rule = *one.rule
	}
	var filters []types.ImageTagMutabilityExclusionFilter
	for _, filter := range rule.Exclude {
		filters = append(filters, types.ImageTagMutabilityExclusionFilter{
			Filter: aws.String(filter), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard,
		})
	}
	_, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName: &one.name, ImageTagMutability: types.ImageTagMutability(rule.Mutability),
		ImageTagMutabilityExclusionFilters: filters,
	})
	var exists *types.RepositoryAlreadyExistsException
	if errors.As(err, &exists) {
		err = nil
		if one.rule != nil {
			_, err = client.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{
				RepositoryName: &one.name, ImageTagMutability: types.ImageTagMutability(rule.Mutability),
				ImageTagMutabilityExclusionFilters: filters,
			})
		}
	}
	return err
}
