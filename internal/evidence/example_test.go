package evidence_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/release"
)

// A smoke run on staging is recorded, and promote reads the record before it tags the digest for production.
func Example() {
	digest, err := release.ParseDigest("sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		fmt.Println(err)
		return
	}
	statement, err := evidence.Encode(release.Evidence{
		Image:       release.Repository("registry.example/shop").At(digest),
		Environment: "staging",
		Verdict:     release.Pass,
		Checks:      []string{"home", "orders"},
		Rounds:      3,
		URL:         "https://staging.shop.example",
		At:          time.Date(2026, 11, 23, 2, 34, 56, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	record, err := evidence.Decode(statement)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record.Image.Digest.Short(), record.Environment, record.Verdict, record.Checks)
	fmt.Println("proves the digest on staging:", record.Proves(record.Image, "staging", record.At.Add(time.Hour), 24*time.Hour) == nil)
	// Output:
	// sha256:abababababab staging pass [home orders]
	// proves the digest on staging: true
}

// A statement that contradicts itself is refused, whoever wrote it.
func ExampleDecode() {
	_, err := evidence.Decode([]byte(`{"_type": "https://in-toto.io/Statement/v1", "_type": "x"}`))
	fmt.Println(err)
	// Output:
	// reading evidence: field "_TYPE" is there twice
}
