/** A firewall configuration for unit tests: host 192.0.2.11 with 10.5.1.0/24 of 10.5.0.0/16. */
import type { FirewallConfig, FirewallFamily } from '../../../src/firewall/firewall.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';

export function firewallFamily(more: Partial<FirewallFamily> = {}): FirewallFamily {
  return {
    network: toCidr('10.5.0.0/16'),
    subnet: toCidr('10.5.1.0/24'),
    base: toIp('10.5.1.0'),
    memberIps: ['192.0.2.11', '192.0.2.12', '192.0.2.13'].map(toIp),
    vxlan: { device: 'flannel.1', vni: 1, port: 8472 },
    ...more,
  };
}

export function firewallConfig(more: Partial<FirewallConfig> = {}): FirewallConfig {
  return {
    families: [firewallFamily()],
    iface: 'eth0',
    peers: [],
    clamps: [],
    probes: null,
    engine: null,
    ipMasq: false,
    randomFully: true,
    forwardRules: true,
    ...more,
  };
}
