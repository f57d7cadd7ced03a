package balancer

import (
	"hash/fnv"
	"net/netip"
)

// Range is the range of the load balancers' addresses. It is on loopback, so that no packet to them can leave the machine.
var Range = netip.MustParsePrefix("127.77.0.0/16")

// candidate returns the n-th address to try for a Service, named namespace/name. The same name gets the same addresses in
// the same order, so that a Service keeps its address from one sandbox to the next. The last byte is never 0 or 255.
func candidate(name string, n int) netip.Addr {
	hash := fnv.New32a()
	hash.Write([]byte(name)) //nolint:errcheck,gosec // a hash does not fail
	place := (uint64(hash.Sum32()) + uint64(n)) % (256 * 254)
	base := Range.Addr().As4()
	return netip.AddrFrom4([4]byte{base[0], base[1], byte(place / 254), byte(place%254) + 1})
}
