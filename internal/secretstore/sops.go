package secretstore

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

const (
	sopsTimeout = time.Minute
	maxSOPS     = 1 << 20 // of what sops prints, in bytes
	maxReason   = 300     // of sops's error, in bytes
)

// sopsVariables are the beginnings of the variables that sops gets: how it finds its keys with age, PGP, AWS KMS and Google's KMS. Tokens
// for servers whose address the file itself names, Vault's and Azure's, are not among them: the file is part of the work tree.
var sopsVariables = []string{"PATH=", "HOME=", "XDG_CONFIG_HOME=", "TMPDIR=", "SOPS_AGE_", "SOPS_GPG_EXEC=", "GNUPGHOME=", "AWS_", "GOOGLE_",
	"HTTPS_PROXY=", "https_proxy=", "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE=", "SSL_CERT_DIR="}

// noVaultToken keeps sops from reading ~/.vault-token, which it does without VAULT_TOKEN. Source: the package hcvault of sops, vaultClient.
const noVaultToken = "VAULT_TOKEN=none"

// keyCommands are the variables that contain commands which sops runs to get its keys, such as SOPS_AGE_KEY_CMD.
var keyCommands = []string{"SOPS_GPG_EXEC", "SOPS_AGE_KEY_CMD"}

// decrypt returns a file's content as JSON, which the sops on PATH decrypts.
// Source: https://getsops.io/docs/, "Usage".
func (s *Store) decrypt(ctx context.Context, file string) (string, error) {
	path, err := s.Inside(file)
	if err != nil {
		return "", release.BadSetting("secret-values", err.Error(), "name a file of the work tree")
	}
	program, err := execx.Find("sops", s.Environ)
	if err == nil && s.Tree.Contains(program) {
		err = fmt.Errorf("%q is in the work tree", program)
	}
	if err != nil {
		return "", release.BadSetting("secret-values", "sops is needed to decrypt it: "+err.Error(), "install sops (https://getsops.io) in an earlier step")
	}
	for _, name := range keyCommands {
		if path := s.partInWorkTree(name); path != "" {
			found := worktree.Problem(name, path)
			return "", release.BadSetting("secret-values", name+": "+found.What, found.Do)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sopsTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, "--decrypt", "--output-type", "json", path) // #nosec G204 -- the program is not the work tree's, the file is an argument of its own
	command.Env = slices.DeleteFunc(slices.Clone(s.Environ), func(pair string) bool {
		return !slices.ContainsFunc(sopsVariables, func(begin string) bool { return strings.HasPrefix(pair, begin) })
	})
	command.Env = append(command.Env, noVaultToken)
	decrypted, reason := limited{limit: maxSOPS}, limited{limit: 16 << 10}
	command.Stdout, command.Stderr, command.WaitDelay = &decrypted, &reason, time.Second
	switch err := command.Run(); {
	case err != nil:
		return "", &release.Fault{Side: "sops", Err: fmt.Errorf("decrypting %q: %w: %s", file, err, text.Line(reason.String(), maxReason)),
			Do: "give this job a key that the file is encrypted for, such as SOPS_AGE_KEY"}
	case decrypted.cut:
		return "", release.BadSetting("secret-values", fmt.Sprintf("it is longer than %d bytes", maxSOPS), "keep large files elsewhere")
	}
	return decrypted.String(), nil
}

// partInWorkTree returns the part of the command in a variable that is in the work tree: a path that the command mentions, or its program if PATH
// finds that in the work tree. It returns "" if there is none.
func (s *Store) partInWorkTree(name string) string {
	command := execx.Variable(s.Environ, name)
	if path := s.Tree.Mentioned(command); path != "" {
		return path
	}
	words := strings.Fields(command)
	if len(words) == 0 {
		return ""
	}
	if program, err := execx.Find(words[0], s.Environ); err == nil && s.Tree.Contains(program) {
		return program
	}
	return ""
}

// limited keeps the first bytes that are written to it. It embeds no buffer, whose ReadFrom would have no limit.
type limited struct {
	kept  bytes.Buffer
	limit int
	cut   bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := l.limit - l.kept.Len()
	if len(p) > room {
		l.cut = true
		l.kept.Write(p[:max(0, room)])
		return len(p), nil
	}
	return l.kept.Write(p)
}

func (l *limited) String() string { return l.kept.String() }
