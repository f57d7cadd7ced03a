// Package base makes the base layer of images whose recipe names no base image.
//
// It holds certificate authorities, time zones, /tmp and the users root, nobody and nonroot. Its bytes depend on this module's
// dependencies and files only, not on the machine, its Go or the day, so that every image of one onedigest shares one layer.
package base

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// User and its group, unless another is wanted, are those that distroless images call nonroot. Files of the image belong to root, except its home.
const User = 65532

// Comment describes the layer in an image's history.
const Comment = "certificate authorities, time zones, /tmp, users"

// zoneinfo is lib/time/zoneinfo.zip of Go 1.26.8: IANA's Time Zone Database, release 2025c, which is in the public domain.
//
//go:embed zoneinfo.zip
var zoneinfo []byte

// Paths where programs look for these files: crypto/x509 and OpenSSL as Debian has it; time and every libc.
const (
	certificatesFile = "etc/ssl/certs/ca-certificates.crt"
	zonesDir         = "usr/share/zoneinfo/"
)

const passwd = `root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
`

const group = `root:x:0:
nobody:x:65534:
nonroot:x:65532:
`

// Account is the number of a user and of a group. The zero value is root's.
type Account struct{ User, Group int }

// files returns the account's entries in /etc/passwd and /etc/group, with a home for a user that has none yet.
func (a Account) files() (files []file) {
	users, groups := passwd, group
	if !strings.Contains(users, fmt.Sprintf(":x:%d:", a.User)) {
		users += fmt.Sprintf("app:x:%d:%d:app:/home/app:/sbin/nologin\n", a.User, a.Group)
		files = append(files, file{name: "home/app/", mode: 0o700, owner: a.User})
	}
	if !strings.Contains(groups, fmt.Sprintf(":x:%d:", a.Group)) {
		groups += fmt.Sprintf("app:x:%d:\n", a.Group)
	}
	return append(files, file{name: "etc/passwd", content: []byte(users)}, file{name: "etc/group", content: []byte(groups)})
}

// WriteLayer writes the layer, a gzipped tar, with entries for an account besides the three users.
func WriteLayer(to io.Writer, account Account) error {
	zones, err := zoneFiles()
	if err != nil {
		return fmt.Errorf("reading the time zones: %w", err)
	}
	files := append(account.files(), []file{
		{name: certificatesFile, content: certificates()},
		{name: "home/nonroot/", mode: 0o700, owner: User},
		{name: "root/", mode: 0o700},
		{name: "tmp/", mode: 0o1777},
		{name: "var/tmp/", mode: 0o1777},
	}...)
	files = append(files, zones...)
	zipped := gzip.NewWriter(to) // its header holds no time and no name
	archive := tar.NewWriter(zipped)
	for _, entry := range withParents(files) {
		if err := entry.write(archive); err != nil {
			return fmt.Errorf("writing %q: %w", entry.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

// file is one entry of the layer; a name that ends in a slash is a directory.
type file struct {
	name    string
	mode    int64 // 0: 0644 for a file, 0755 for a directory
	owner   int   // and group
	content []byte
}

// write writes the entry into the archive.
func (f file) write(archive *tar.Writer) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)),
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if strings.HasSuffix(f.name, "/") {
		header.Typeflag, header.Mode = tar.TypeDir, 0o755
	}
	if f.mode != 0 {
		header.Mode = f.mode
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(f.content)
	return err
}

// withParents adds the directories above the files, and sorts all by name, so that a directory is before its content.
func withParents(files []file) []file {
	known := map[string]bool{}
	for _, entry := range files {
		known[entry.name] = true
	}
	for _, entry := range slices.Clone(files) {
		for at, char := range entry.name {
			if dir := entry.name[:at+1]; char == '/' && !known[dir] {
				known[dir] = true
				files = append(files, file{name: dir})
			}
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files
}

// certificates returns Mozilla's authorities for TLS servers as PEM. It leaves out an authority that Mozilla trusts only for
// certificates issued before a date, because PEM cannot express that.
func certificates() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	return text.Bytes()
}

// zoneFiles unpacks the time zones.
func zoneFiles() ([]file, error) {
	archive, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range archive.File {
		content, err := entry.Open()
		if err != nil {
			return nil, err
		}
		zone, err := io.ReadAll(content)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry.Name, err)
		}
		if !strings.HasSuffix(entry.Name, "/") {
			files = append(files, file{name: zonesDir + entry.Name, content: zone})
		}
	}
	return files, nil
}
