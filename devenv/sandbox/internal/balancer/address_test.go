package balancer

import (
	"net/netip"
	"strconv"
	"testing"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	if a, b := candidate("staging/shop", 0), candidate("staging/shop", 0); a != b {
		t.Errorf("the same Service gets %v and %v", a, b)
	}
	if a, b := candidate("staging/shop", 0), candidate("production/shop", 0); a == b {
		t.Errorf("two Services both get %v", a)
	}
	seen := map[netip.Addr]bool{}
	for n := range 256 * 254 {
		address := candidate("staging/shop", n)
		last := address.As4()[3]
		if !Range.Contains(address) || !address.IsLoopback() || last == 0 || last == 255 {
			t.Fatalf("candidate %d is %v", n, address)
		}
		seen[address] = true
	}
	if len(seen) != 256*254 {
		t.Errorf("all candidates together are %d addresses", len(seen))
	}
}

func FuzzCandidate(f *testing.F) {
	f.Add("staging/shop", 0)
	f.Add("", 1<<30)
	f.Fuzz(func(t *testing.T, name string, n int) {
		if n < 0 {
			n = 0
		}
		if address := candidate(name, n); !Range.Contains(address) {
			t.Errorf("candidate %s of %q is %v", strconv.Itoa(n), name, address)
		}
	})
}
