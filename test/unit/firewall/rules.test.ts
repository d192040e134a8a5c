import { describe, expect, test } from 'vitest';
import { forwardChainRules, rawChainRules } from '../../../src/firewall/chain-rules.ts';
import { nftRuleset } from '../../../src/firewall/rules.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { type Mac, macFromBytes } from '../../../src/net/mac.ts';
import { firewallConfig, firewallFamily } from './config.ts';

const mac = (text: string): Mac => macFromBytes(Buffer.from(text.replaceAll(':', ''), 'hex'));
const PLAIN = { guardLease: false, forwardOnlyFor: null, acceptMark: null };
const GUARDED = { ...PLAIN, guardLease: true };

describe('the nftables table', () => {
  test('with everything on', () => {
    expect(nftRuleset(firewallConfig({ ipMasq: true }), firewallFamily(), GUARDED)).toMatchInlineSnapshot(`
      "table ip tsflannel {
      	set members {
      		type ipv4_addr
      		elements = { 192.0.2.11, 192.0.2.12, 192.0.2.13 }
      	}

      	set sources {
      		type ifname . ether_addr . ipv4_addr
      		flags interval
      	}

      	set sources-of-any-mac {
      		type ifname . ipv4_addr
      		flags interval
      	}

      	chain prerouting {
      		type filter hook prerouting priority raw - 10; policy accept;
      		ip saddr 10.5.0.0/16 jump sources
      	}

      	chain sources {
      		iifname . ether saddr . ip saddr @sources return
      		iifname . ip saddr @sources-of-any-mac return
      		iifname { "eth0", "flannel.1" } drop
      		iifname != "lo" fib saddr . iif oif missing drop
      	}

      	chain input {
      		type filter hook input priority filter - 10; policy accept;
      		udp dport 8472 @th,96,24 0x1 ip saddr != @members drop
      	}

      	chain forward {
      		type filter hook forward priority filter - 10; policy accept;
      		ct state new ct original ip daddr 10.5.1.0/24 ip saddr != 10.5.0.0/16 ip saddr != @members drop
      	}

      	chain postrouting {
      		type nat hook postrouting priority srcnat - 1; policy accept;
      		ip saddr 10.5.1.0/24 ip daddr 10.5.1.0/24 return
      		ip saddr 10.5.0.0/16 ip daddr 10.5.0.0/16 snat ip prefix to ip saddr map { 10.5.0.0/16 : 10.5.0.0/16 }
      		fib saddr type local ip saddr != 10.5.0.0/16 ip daddr 10.5.0.0/16 ip daddr != 10.5.1.0/24 snat to 10.5.1.0 fully-random
      		ip saddr 10.5.0.0/16 ip daddr != 10.5.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
      	}
      }
      "
    `);
  });

  test('of a host that was a router before us, without vxlan and masquerade', () => {
    expect(nftRuleset(firewallConfig(), firewallFamily({ vxlan: null }), PLAIN)).toMatchInlineSnapshot(`
      "table ip tsflannel {
      	set members {
      		type ipv4_addr
      		elements = { 192.0.2.11, 192.0.2.12, 192.0.2.13 }
      	}

      	set sources {
      		type ifname . ether_addr . ipv4_addr
      		flags interval
      	}

      	set sources-of-any-mac {
      		type ifname . ipv4_addr
      		flags interval
      	}

      	chain prerouting {
      		type filter hook prerouting priority raw - 10; policy accept;
      		ip saddr 10.5.0.0/16 jump sources
      	}

      	chain sources {
      		iifname . ether saddr . ip saddr @sources return
      		iifname . ip saddr @sources-of-any-mac return
      		iifname "eth0" drop
      		iifname != "lo" fib saddr . iif oif missing drop
      	}

      	chain postrouting {
      		type nat hook postrouting priority srcnat - 1; policy accept;
      		ip saddr 10.5.1.0/24 ip daddr 10.5.1.0/24 return
      		ip saddr 10.5.0.0/16 ip daddr 10.5.0.0/16 snat ip prefix to ip saddr map { 10.5.0.0/16 : 10.5.0.0/16 }
      	}
      }
      "
    `);
  });

  test('with another VNI and port, and masquerade that keeps ports where it can', () => {
    const config = firewallConfig({ ipMasq: true, randomFully: false });
    const family = firewallFamily({ vxlan: { device: 'flannel.4660', vni: 4660, port: 4789 } });
    expect(nftRuleset(config, family, PLAIN)).toContain(
      'udp dport 4789 @th,96,24 0x1234 ip saddr != @members drop',
    );
    expect(nftRuleset(config, family, PLAIN)).not.toContain('fully-random');
  });

  test('without members, as nft prints an empty set', () => {
    expect(nftRuleset(firewallConfig(), firewallFamily({ memberIps: [] }), PLAIN)).toContain(
      '\tset members {\n\t\ttype ipv4_addr\n\t}\n',
    );
  });
});

describe('the iptables chain', () => {
  test('accepts the network, answers, and new connections of members', () => {
    expect(forwardChainRules(firewallFamily())).toMatchInlineSnapshot(`
      [
        "-A TSFLANNEL-FORWARD -s 10.5.0.0/16 -d 10.5.1.0/24 -j ACCEPT",
        "-A TSFLANNEL-FORWARD -s 10.5.1.0/24 -d 10.5.0.0/16 -j ACCEPT",
        "-A TSFLANNEL-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED --ctorigdst 10.5.1.0/24 -j ACCEPT",
        "-A TSFLANNEL-FORWARD -d 10.5.1.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A TSFLANNEL-FORWARD -m conntrack ! --ctstate NEW -j RETURN",
        "-A TSFLANNEL-FORWARD -s 192.0.2.11/32 -d 10.5.1.0/24 -j ACCEPT",
        "-A TSFLANNEL-FORWARD -s 192.0.2.12/32 -d 10.5.1.0/24 -j ACCEPT",
        "-A TSFLANNEL-FORWARD -s 192.0.2.13/32 -d 10.5.1.0/24 -j ACCEPT",
      ]
    `);
  });
});

describe('the chain in the table raw', () => {
  test('accepts the network and members, by the interfaces that other hosts come by', () => {
    const family = firewallFamily({ memberIps: [toIp('192.0.2.11')] });
    expect(rawChainRules(firewallConfig(), family)).toMatchInlineSnapshot(`
      [
        "-A TSFLANNEL-RAW ! -d 10.5.1.0/24 -j RETURN",
        "-A TSFLANNEL-RAW -s 10.5.0.0/16 -d 10.5.1.0/24 -i eth0 -j ACCEPT",
        "-A TSFLANNEL-RAW -s 10.5.0.0/16 -d 10.5.1.0/24 -i flannel.1 -j ACCEPT",
        "-A TSFLANNEL-RAW -s 192.0.2.11/32 -d 10.5.1.0/24 -i eth0 -j ACCEPT",
        "-A TSFLANNEL-RAW -s 192.0.2.11/32 -d 10.5.1.0/24 -i flannel.1 -j ACCEPT",
      ]
    `);
  });
});

describe('both families', () => {
  const peers = [
    { subnet: toCidr('10.5.2.0/24'), iface: 'eth0', mac: mac('02:00:00:00:00:02') },
    { subnet: toCidr('10.5.2.0/24'), iface: 'flannel.1', mac: mac('02:00:00:00:01:02') },
    { subnet: toCidr('10.5.3.0/24'), iface: 'wg0', mac: null },
    { subnet: toCidr('fd00:5:2::/64'), iface: 'eth0', mac: mac('02:00:00:00:00:02') },
  ];
  const clamps = [
    { subnet: toCidr('10.5.3.0/24'), mtu: 1400 },
    { subnet: toCidr('10.5.2.0/24'), mtu: 1400 },
    { subnet: toCidr('fd00:5:2::/64'), mtu: 1430 },
  ];
  const six = firewallFamily({
    network: toCidr('fd00:5::/32'),
    subnet: toCidr('fd00:5:1::/64'),
    base: toIp('fd00:5:1::'),
    memberIps: ['192.0.2.11', 'fd00:99::11'].map(toIp),
    vxlan: { device: 'flannel-v6.1', vni: 1, port: 8472 },
  });
  const probes = { directMark: 0x10000000, vxlanMark: 0x20000000, mask: 0x30000000 };
  const config = firewallConfig({ families: [firewallFamily(), six], peers, clamps, probes, ipMasq: true });
  const around = {
    guardLease: true,
    forwardOnlyFor: ['docker0', 'br-1'],
    acceptMark: { value: 0x40000000, mask: 0x40000000 },
  };

  test('IPv4 with peers, probes, clamps and an engine that wants marks', () => {
    expect(nftRuleset(config, firewallFamily(), around)).toMatchInlineSnapshot(`
      "table ip tsflannel {
      	set members {
      		type ipv4_addr
      		elements = { 192.0.2.11, 192.0.2.12, 192.0.2.13 }
      	}

      	set sources {
      		type ifname . ether_addr . ipv4_addr
      		flags interval
      		elements = { "eth0" . 02:00:00:00:00:02 . 10.5.2.0/24, "flannel.1" . 02:00:00:00:01:02 . 10.5.2.0/24 }
      	}

      	set sources-of-any-mac {
      		type ifname . ipv4_addr
      		flags interval
      		elements = { "wg0" . 10.5.3.0/24 }
      	}

      	set mtu-1400 {
      		type ipv4_addr
      		flags interval
      		elements = { 10.5.2.0/24, 10.5.3.0/24 }
      	}

      	chain prerouting {
      		type filter hook prerouting priority raw - 10; policy accept;
      		ip saddr 10.5.0.0/16 jump sources
      	}

      	chain sources {
      		iifname . ether saddr . ip saddr @sources return
      		iifname . ip saddr @sources-of-any-mac return
      		iifname { "wg0", "eth0", "flannel.1" } drop
      		iifname != "lo" fib saddr . iif oif missing drop
      	}

      	chain marks {
      		type filter hook prerouting priority mangle + 10; policy accept;
      		iifname "eth0" ip saddr 10.5.0.0/16 ip daddr 10.5.1.0 icmp type echo-request meta mark set meta mark & 0xdfffffff | 0x10000000
      		iifname "flannel.1" ip saddr 10.5.0.0/16 ip daddr 10.5.1.0 icmp type echo-request meta mark set meta mark & 0xefffffff | 0x20000000
      		iifname { "wg0", "eth0", "flannel.1" } ip saddr 10.5.0.0/16 ip daddr 10.5.1.0/24 meta mark set meta mark | 0x40000000
      		iifname { "wg0", "eth0", "flannel.1" } ip saddr @members ip daddr 10.5.1.0/24 meta mark set meta mark | 0x40000000
      	}

      	chain input {
      		type filter hook input priority filter - 10; policy accept;
      		udp dport 8472 @th,96,24 0x1 ip saddr != @members drop
      	}

      	chain clamp {
      		type filter hook forward priority mangle; policy accept;
      		ip daddr @mtu-1400 tcp flags syn / syn,rst tcp option maxseg size set 1360
      		ip saddr @mtu-1400 tcp flags syn / syn,rst tcp option maxseg size set 1360
      	}

      	chain forward {
      		type filter hook forward priority filter - 10; policy accept;
      		ct state new ct original ip daddr 10.5.1.0/24 ip saddr != 10.5.0.0/16 ip saddr != @members drop
      		iifname != { "br-1", "docker0" } oifname != { "br-1", "docker0" } drop
      	}

      	chain postrouting {
      		type nat hook postrouting priority srcnat - 1; policy accept;
      		ip saddr 10.5.1.0/24 ip daddr 10.5.1.0/24 return
      		ip saddr 10.5.0.0/16 ip daddr 10.5.0.0/16 snat ip prefix to ip saddr map { 10.5.0.0/16 : 10.5.0.0/16 }
      		fib saddr type local ip saddr != 10.5.0.0/16 ip daddr 10.5.0.0/16 ip daddr != 10.5.1.0/24 snat to 10.5.1.0 fully-random
      		ip saddr 10.5.0.0/16 ip daddr != 10.5.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
      	}
      }
      "
    `);
  });

  test('IPv6 takes its own part of all that, and neighbour discovery from everybody', () => {
    expect(nftRuleset(config, six, around)).toMatchInlineSnapshot(`
      "table ip6 tsflannel {
      	set members {
      		type ipv6_addr
      		elements = { fd00:99::11 }
      	}

      	set sources {
      		type ifname . ether_addr . ipv6_addr
      		flags interval
      		elements = { "eth0" . 02:00:00:00:00:02 . fd00:5:2::/64 }
      	}

      	set sources-of-any-mac {
      		type ifname . ipv6_addr
      		flags interval
      	}

      	set mtu-1430 {
      		type ipv6_addr
      		flags interval
      		elements = { fd00:5:2::/64 }
      	}

      	chain prerouting {
      		type filter hook prerouting priority raw - 10; policy accept;
      		icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept
      		ip6 saddr fd00:5::/32 jump sources
      	}

      	chain sources {
      		iifname . ether saddr . ip6 saddr @sources return
      		iifname . ip6 saddr @sources-of-any-mac return
      		iifname { "eth0", "flannel-v6.1" } drop
      		iifname != "lo" fib saddr . iif oif missing drop
      	}

      	chain marks {
      		type filter hook prerouting priority mangle + 10; policy accept;
      		iifname "eth0" ip6 saddr fd00:5::/32 ip6 daddr fd00:5:1:: icmpv6 type echo-request meta mark set meta mark & 0xdfffffff | 0x10000000
      		iifname "flannel-v6.1" ip6 saddr fd00:5::/32 ip6 daddr fd00:5:1:: icmpv6 type echo-request meta mark set meta mark & 0xefffffff | 0x20000000
      		iifname { "eth0", "flannel-v6.1" } ip6 saddr fd00:5::/32 ip6 daddr fd00:5:1::/64 meta mark set meta mark | 0x40000000
      		iifname { "eth0", "flannel-v6.1" } ip6 saddr @members ip6 daddr fd00:5:1::/64 meta mark set meta mark | 0x40000000
      	}

      	chain input {
      		type filter hook input priority filter - 10; policy accept;
      		udp dport 8472 @th,96,24 0x1 ip6 saddr != @members drop
      	}

      	chain clamp {
      		type filter hook forward priority mangle; policy accept;
      		ip6 daddr @mtu-1430 tcp flags syn / syn,rst tcp option maxseg size set 1370
      		ip6 saddr @mtu-1430 tcp flags syn / syn,rst tcp option maxseg size set 1370
      	}

      	chain forward {
      		type filter hook forward priority filter - 10; policy accept;
      		ct state new ct original ip6 daddr fd00:5:1::/64 ip6 saddr != fd00:5::/32 ip6 saddr != @members drop
      		iifname != { "br-1", "docker0" } oifname != { "br-1", "docker0" } drop
      	}

      	chain postrouting {
      		type nat hook postrouting priority srcnat - 1; policy accept;
      		ip6 saddr fd00:5:1::/64 ip6 daddr fd00:5:1::/64 return
      		ip6 saddr fd00:5::/32 ip6 daddr fd00:5::/32 snat ip6 prefix to ip6 saddr map { fd00:5::/32 : fd00:5::/32 }
      		fib saddr type local ip6 saddr != fd00:5::/32 ip6 daddr fd00:5::/32 ip6 daddr != fd00:5:1::/64 snat to fd00:5:1:: fully-random
      		ip6 saddr fd00:5::/32 ip6 daddr != fd00:5::/32 ip6 daddr != ff00::/8 masquerade fully-random
      	}
      }
      "
    `);
    expect(forwardChainRules(six)).toContain(
      '-A TSFLANNEL-FORWARD -s fd00:99::11/128 -d fd00:5:1::/64 -j ACCEPT',
    );
  });
});

test('order and repetition of the members change nothing, and those of another family are left out', () => {
  const messy = firewallFamily({
    memberIps: ['192.0.2.13', '2001:db8::1', '192.0.2.11', '192.0.2.12', '192.0.2.11'].map(toIp),
  });
  expect(nftRuleset(firewallConfig(), messy, GUARDED)).toBe(
    nftRuleset(firewallConfig(), firewallFamily(), GUARDED),
  );
  expect(forwardChainRules(messy)).toEqual(forwardChainRules(firewallFamily()));
});
