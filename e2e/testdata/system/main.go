// System checks that its image holds what services expect of a system, and serves once it does.
package main

import (
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/user"
	"time"
)

// chain is a certificate of www.google.com and its intermediate, as a server sends them. They are those of the tests of Go's
// crypto/x509.
//
//go:embed chain.pem
var chain []byte

func main() {
	for name, check := range map[string]func() error{"certificates": certificates, "time zones": zones, "temporary files": temporary, "user": self} {
		if err := check(); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
	log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "all there") })))
}

// certificates verifies a server as crypto/tls does, with the system's authorities, on a day when its certificate was valid.
func certificates() error {
	first, rest := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{DNSName: "www.google.com", CurrentTime: time.Unix(1677615892, 0), Intermediates: x509.NewCertPool()}
	options.Intermediates.AppendCertsFromPEM(rest)
	_, err = leaf.Verify(options)
	return err
}

func zones() error {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return err
	}
	if got := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).In(paris).Hour(); got != 14 {
		return fmt.Errorf("noon in July is %d o'clock in Paris", got)
	}
	return nil
}

func temporary() error {
	if info, err := os.Stat("/tmp"); err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o777 {
		return fmt.Errorf("%v, %w", info, err)
	}
	file, err := os.CreateTemp("", "system")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func self() error {
	current, err := user.Current()
	if err != nil {
		return err
	}
	group, err := user.LookupGroupId(current.Gid)
	if err != nil {
		return err
	}
	if current.Username != "nonroot" || group.Name != "nonroot" || os.Getenv("HOME") != "/home/nonroot" {
		return fmt.Errorf("it is %s of %s, at home in %q", current.Username, group.Name, os.Getenv("HOME"))
	}
	return os.WriteFile(current.HomeDir+"/written", nil, 0o600)
}
