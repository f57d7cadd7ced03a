package base_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/image/base"
)

var update = flag.Bool("update", false, "write testdata/digest")

type entry struct {
	header  tar.Header
	content string
}

var nonroot = base.Account{User: base.User, Group: base.User}

func layer(t *testing.T, account base.Account) []byte {
	t.Helper()
	var written bytes.Buffer
	if err := base.WriteLayer(&written, account); err != nil {
		t.Fatal(err)
	}
	return written.Bytes()
}

func entries(t *testing.T, account base.Account) (names []string, byName map[string]entry) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(layer(t, account)))
	if err != nil {
		t.Fatal(err)
	}
	byName = map[string]entry{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, byName
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		byName[header.Name] = entry{*header, string(content)}
	}
}

// TestLayerIsTheSameEverywhere: the digest changes with certificates, zones and the compressor, each of which is pinned. A new
// one is written with -update.
func TestLayerIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(layer(t, nonroot))
	got := hex.EncodeToString(sum[:]) + "\n"
	if *update {
		if err := os.WriteFile("testdata/digest", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/digest")
	if err != nil || got != string(want) {
		t.Errorf("the layer is %s, want %s (%v)", got, want, err)
	}
}

func TestLayerHoldsWhatServicesExpect(t *testing.T) {
	t.Parallel()
	names, byName := entries(t, nonroot)
	for name, want := range map[string]struct {
		mode  int64
		owner int
	}{
		"tmp/":                              {0o1777, 0},
		"var/tmp/":                          {0o1777, 0},
		"root/":                             {0o700, 0},
		"home/nonroot/":                     {0o700, 65532},
		"etc/":                              {0o755, 0},
		"etc/passwd":                        {0o644, 0},
		"etc/group":                         {0o644, 0},
		"etc/ssl/certs/ca-certificates.crt": {0o644, 0},
		"usr/share/zoneinfo/Europe/":        {0o755, 0},
		"usr/share/zoneinfo/Europe/Paris":   {0o644, 0},
	} {
		got, found := byName[name]
		if !found || got.header.Mode != want.mode || got.header.Uid != want.owner || got.header.Gid != want.owner {
			t.Errorf("%s: found %v, mode %o, owner %d:%d, want %+v", name, found, got.header.Mode, got.header.Uid, got.header.Gid, want)
		}
	}
	if !slices.IsSorted(names) || len(names) != len(byName) || len(names) < 500 {
		t.Errorf("%d entries, %d names, sorted %v", len(names), len(byName), slices.IsSorted(names))
	}
	for name, each := range byName {
		if each.header.ModTime.Unix() != 0 || each.header.Uname != "" || strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
			t.Errorf("%s: time %s, owner %q", name, each.header.ModTime, each.header.Uname)
		}
	}
	if !strings.Contains(byName["etc/passwd"].content, "\nnonroot:x:65532:65532:") || !strings.Contains(byName["etc/group"].content, "\nnonroot:x:65532:") {
		t.Errorf("users %s and groups %s", byName["etc/passwd"].content, byName["etc/group"].content)
	}
	paris, err := time.LoadLocationFromTZData("Europe/Paris", []byte(byName["usr/share/zoneinfo/Europe/Paris"].content))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("2026-07-01T14:00:00+02:00", time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).In(paris).Format(time.RFC3339)); diff != "" {
		t.Error(diff)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(byName["etc/ssl/certs/ca-certificates.crt"].content)) {
		t.Error("no certificate can be read")
	}
	if n := strings.Count(byName["etc/ssl/certs/ca-certificates.crt"].content, "BEGIN CERTIFICATE"); n < 100 {
		t.Errorf("%d certificates", n)
	}
}

func TestLayerHasAnEntryForItsUser(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		account       base.Account
		passwd, group string // what is added
		home          bool
	}{
		"root":                    {base.Account{}, "", "", false},
		"nonroot":                 {nonroot, "", "", false},
		"another user":            {base.Account{User: 1000, Group: 1000}, "app:x:1000:1000:app:/home/app:/sbin/nologin\n", "app:x:1000:\n", true},
		"another user, its group": {base.Account{User: 1000, Group: 0}, "app:x:1000:0:app:/home/app:/sbin/nologin\n", "", true},
		"a part of a number":      {base.Account{User: 655, Group: 32}, "app:x:655:32:app:/home/app:/sbin/nologin\n", "app:x:32:\n", true},
	} {
		_, plain := entries(t, nonroot)
		_, got := entries(t, test.account)
		if users := got["etc/passwd"].content; users != plain["etc/passwd"].content+test.passwd {
			t.Errorf("%s: users %s", name, users)
		}
		if groups := got["etc/group"].content; groups != plain["etc/group"].content+test.group {
			t.Errorf("%s: groups %s", name, groups)
		}
		if home, found := got["home/app/"]; found != test.home || found && (home.header.Uid != test.account.User || home.header.Mode != 0o700) {
			t.Errorf("%s: home %v %+v", name, found, home.header)
		}
	}
}
