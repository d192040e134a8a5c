import { describe, expect, test } from 'vitest';
import { forwardChainRules, nftRuleset } from '../../../src/firewall/rules.ts';
import { toIp } from '../../../src/net/ip.ts';
import { firewallConfig, firewallFamily } from './config.ts';

describe('the nftables table', () => {
  test('with everything on', () => {
    expect(nftRuleset(firewallConfig({ ipMasq: true }), firewallFamily(), true)).toMatchInlineSnapshot(`
      "table ip tsflannel {
      	set members {
      		type ipv4_addr
      		elements = { 192.0.2.11, 192.0.2.12, 192.0.2.13 }
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
    expect(nftRuleset(firewallConfig(), firewallFamily({ vxlan: null }), false)).toMatchInlineSnapshot(`
      "table ip tsflannel {
      	set members {
      		type ipv4_addr
      		elements = { 192.0.2.11, 192.0.2.12, 192.0.2.13 }
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
    expect(nftRuleset(config, family, false)).toContain(
      'udp dport 4789 @th,96,24 0x1234 ip saddr != @members drop',
    );
    expect(nftRuleset(config, family, false)).not.toContain('fully-random');
  });

  test('without members, as nft prints an empty set', () => {
    expect(nftRuleset(firewallConfig(), firewallFamily({ memberIps: [] }), false)).toContain(
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

test('order and repetition of the members change nothing, and those of another family are left out', () => {
  const messy = firewallFamily({
    memberIps: ['192.0.2.13', '2001:db8::1', '192.0.2.11', '192.0.2.12', '192.0.2.11'].map(toIp),
  });
  expect(nftRuleset(firewallConfig(), messy, true)).toBe(
    nftRuleset(firewallConfig(), firewallFamily(), true),
  );
  expect(forwardChainRules(messy)).toEqual(forwardChainRules(firewallFamily()));
});
