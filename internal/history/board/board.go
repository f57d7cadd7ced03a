// Package board renders a history as one HTML page. The page needs no other file and no server, works without scripts, and may
// run no script but its own.
package board

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

var (
	//go:embed page.html
	page string
	//go:embed style.css
	style string
	//go:embed script.js
	script string
)

// Page renders histories.
type Page struct {
	PredicateType func(fact.Kind) string // of a kind's statements, which cosign asks for
}

// view is what the page shows.
type view struct {
	history.Result
	Page   Page
	CSP    template.HTMLAttr // Content Security Policy
	Style  template.CSS
	Script template.JS
	States []history.State
}

// linkedCommit is a commit and the address of the sources that it is in.
type linkedCommit struct {
	Source string
	Commit release.Commit
}

// imageRecords are records about an image.
type imageRecords struct {
	Records []fact.Record
	Image   release.Image
	view    view
}

// Keys returns the names of the given keys by their IDs.
func (r imageRecords) Keys() map[string]string { return r.view.Keys }

var parsed = template.Must(template.New("board").Funcs(template.FuncMap{
	"moment":    func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") },
	"iso":       func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
	"web":       isWeb,
	"verify":    verifyCommand,
	"signature": history.Signature,
	"detail":    history.Detail,
	"words":     searchWords,
	"columns":   func(environments []release.Environment) int { return len(environments) + 2 },
	"commitOf":  func(v view, commit release.Commit) linkedCommit { return linkedCommit{v.Source, commit} },
	"recordsOf": func(v view, entry history.Entry, records []fact.Record) imageRecords {
		return imageRecords{records, entry.Image, v}
	},
}).Parse(page))

// Render returns the page.
func (p Page) Render(result history.Result) ([]byte, error) {
	var out bytes.Buffer
	err := parsed.Execute(&out, view{
		Result: result, Page: p,
		// The page runs what has these digests and nothing else. Source: W3C, Content Security Policy Level 3, hash-source.
		CSP:    template.HTMLAttr(fmt.Sprintf(`content="default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'"`, digest(style), digest(script))), //nolint:gosec // of constants
		Style:  template.CSS(style),                                                                                                                                                 //nolint:gosec // a constant
		Script: template.JS(script),                                                                                                                                                 //nolint:gosec // a constant
		States: history.States,
	})
	if err != nil {
		return nil, &release.Fault{Side: "onedigest", Err: fmt.Errorf("rendering the board: %w", err)}
	}
	return out.Bytes(), nil
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// isWeb reports whether a browser may be sent to an address that a record names.
func isWeb(address string) bool {
	parsed, err := url.Parse(address)
	return err == nil && (parsed.Scheme == "https" || parsed.Scheme == "http") && parsed.Host != ""
}

// verifyCommand returns the command with which cosign verifies a record, "" if nobody who is trusted signed it.
func verifyCommand(record fact.Record, of imageRecords) string {
	key := of.view.Keys[record.Signer]
	if identity, is := release.ParseIdentity(record.Signer); is {
		command := fmt.Sprintf("cosign verify-attestation --certificate-oidc-issuer %s --certificate-identity %s", quote(identity.Issuer), quote(identity.Subject))
		if root := of.view.TrustedRoot; root != "" {
			command += " --trusted-root " + quote(root)
		}
		return fmt.Sprintf("%s --type %s %s", command, quote(of.view.Page.PredicateType(record.Kind)), of.Image)
	}
	if record.Signer == "" || key == "" {
		return ""
	}
	return fmt.Sprintf("cosign verify-attestation --key %s --insecure-ignore-tlog=true --type %s %s", quote(key), quote(of.view.Page.PredicateType(record.Kind)), of.Image)
}

// quote quotes an argument for a POSIX shell.
func quote(argument string) string { return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'" }

// searchWords returns what the filter of the page searches in.
func searchWords(entry history.Entry) string {
	words := []string{entry.Commit.String(), entry.Image.Digest.String()}
	for _, tag := range entry.Tags {
		words = append(words, tag.String())
	}
	for _, cell := range entry.Cells {
		words = append(words, cell.Environment.String()+":"+string(cell.State))
	}
	return strings.Join(words, " ")
}
