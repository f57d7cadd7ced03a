package httpx

import (
	"net/netip"
	"testing"
)

// Every spelling of a metadata service's address is forbidden, and no address that a release or a registry may have.
func TestWhyForbidden(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::a9fe:a9fe", "fe80::1%eth0",
		"::ffff:169.254.169.254",               // mapped
		"::169.254.169.254",                    // compatible
		"::ffff:0:169.254.169.254",             // translated
		"64:ff9b::169.254.169.254",             // NAT64
		"64:ff9b:1::169.254.169.254",           // local-use NAT64, /96
		"64:ff9b:1:abcd::169.254.169.254",      // another /96 of it
		"64:ff9b:1:a9fe:a9:fe00::",             // /48
		"64:ff9b:1:fa9:fe:a9fe::",              // /56
		"64:ff9b:1:abcd:a9:fea9:fe00:0",        // /64
		"2002:a9fe:a9fe::1",                    // 6to4
		"2001:0:a9fe:a9fe::1",                  // Teredo's server
		"2001:0:4136:e378:8000:63bf:5601:5601", // Teredo's client
		"2001:db8::5efe:169.254.169.254",       // ISATAP
		"2001:db8::200:5efe:169.254.169.254",   // ISATAP with the bit u
		"64:ff9b::168.63.129.16", "::ffff:100.100.100.200",
		"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "64:ff9b::224.0.0.1",
	} {
		if WhyForbidden(netip.MustParseAddr(address)) == "" {
			t.Errorf("%s is not forbidden", address)
		}
	}
	for _, address := range []string{
		"127.0.0.1", "::1", "10.0.0.1", "172.20.1.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "93.184.216.34", "2606:2800::1", "192.0.0.8",
		"64:ff9b::93.184.216.34", "64:ff9b:1::93.184.216.34", "64:ff9b:1::10.0.0.1", "2002:5db8:d822::1", "::ffff:10.0.0.1", "168.63.129.17",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2", "fd00:ec3::254", "2001:db8::5efe:10.0.0.1", "::ffff:0:10.0.0.1", "::93.184.216.34",
	} {
		if why := WhyForbidden(netip.MustParseAddr(address)); why != "" {
			t.Errorf("%s is forbidden: %s", address, why)
		}
	}
}

// Private addresses are private however they are spelt; what is forbidden is private too.
func TestWhyPrivate(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"10.0.0.1", "172.20.1.1", "192.168.1.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "::1", "[::1]", "fd12:3456::1", "169.254.169.254", "0.0.0.0", "224.0.0.1",
		"::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::1", "2001:db8::5efe:10.0.0.1", "fe80::1%eth0", "localhost", "LOCALHOST.", "registry.localhost",
	} {
		if !IsPrivateHost(host) {
			t.Errorf("%s is not private", host)
		}
	}
	for _, host := range []string{"93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:2800::1", "64:ff9b::93.184.216.34", "example.com", "localhost.example.com"} {
		if IsPrivateHost(host) {
			t.Errorf("%s is private", host)
		}
	}
}

// What guards an IPv4 address guards every IPv6 address that carries it.
func FuzzWhyForbidden(f *testing.F) {
	for _, seed := range [][]byte{{169, 254, 169, 254}, {127, 0, 0, 1}, {168, 63, 129, 16}, {10, 0, 0, 1}, {224, 0, 0, 1}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v4 []byte) {
		if len(v4) != 4 || v4[0] == 0 {
			return
		}
		plain := netip.AddrFrom4([4]byte(v4))
		if WhyForbidden(plain) == "" {
			return
		}
		for _, each := range embeddings {
			bytes := each.prefix.Addr().As16()
			for i, at := range each.at {
				if bytes[at] = v4[i]; each.inverted {
					bytes[at] = ^v4[i]
				}
			}
			if each.prefix.Contains(netip.AddrFrom16(bytes)) && WhyForbidden(netip.AddrFrom16(bytes)) == "" {
				t.Errorf("%s is forbidden, and %s, which carries it, is not", plain, netip.AddrFrom16(bytes))
			}
		}
	})
}
