/** The firewall of a lab host, driven from outside: the real tools and settings, in the host's namespace. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../../src/firewall/exec.ts';
import type { FirewallConfig } from '../../../src/firewall/firewall.ts';
import { HostFirewall } from '../../../src/firewall/host-firewall.ts';
import type { RulesetWatch } from '../../../src/firewall/ruleset-watch.ts';
import type { Sysctls } from '../../../src/firewall/sysctl.ts';
import { cidrBase, toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import type { Host } from '../lab.ts';
import type { Namespace } from '../namespace.ts';

export type IptablesVariant = 'nft' | 'legacy';

export interface LabFirewall {
  readonly firewall: HostFirewall;
  /** The tools that were started since it was last emptied. */
  readonly commands: string[];
}

/** Each call is a new process of the agent, as far as it remembers anything. */
export function firewallOn(
  host: Host,
  variant: IptablesVariant = 'nft',
  watch: RulesetWatch | null = null,
): LabFirewall {
  const commands: string[] = [];
  const firewall = new HostFirewall({
    foundFile: join(host.directory, 'run', 'firewall.json'),
    watch,
    exec: ([tool = '', ...args], input) => {
      commands.push([tool, ...args].join(' '));
      // What update-alternatives does to a host.
      const real = tool.replace(/^(ip6?tables)/, `$1-${variant}`);
      return exec(host.command([real, ...args]), input);
    },
    sysctls: sysctlsOf(host),
  });
  return { firewall, commands };
}

/** /proc/sys/net shows the namespace of whoever opens it. */
export function sysctlsOf(host: Namespace): Sysctls {
  return {
    async read(key) {
      const path = `/proc/sys/${key}`;
      return inNamespace(host.netns, () => (existsSync(path) ? readFileSync(path, 'utf8').trim() : null));
    },
    async write(key, value) {
      inNamespace(host.netns, () => writeFileSync(`/proc/sys/${key}`, value));
    },
  };
}

/** Leases of 10.5.0.0/16 on hosts of 10.99.1.0/24: 10.5.N.0/24 belongs to member N. */
export function labConfig(
  subnet: string,
  members: readonly string[],
  more: Partial<FirewallConfig> = {},
): FirewallConfig {
  return {
    families: [
      {
        network: toCidr('10.5.0.0/16'),
        subnet: toCidr(subnet),
        base: cidrBase(toCidr(subnet)),
        memberIps: members.map(toIp),
        vxlan: { device: 'flannel.1', vni: 1, port: 8472 },
      },
    ],
    iface: 'eth0',
    peers: members
      .map((_, i) => toCidr(`10.5.${i + 1}.0/24`))
      .filter((lease) => lease !== subnet)
      .flatMap((lease) => ['eth0', 'flannel.1'].map((iface) => ({ subnet: lease, iface, mac: null }))),
    clamps: [],
    probes: null,
    engine: null,
    ipMasq: false,
    randomFully: true,
    forwardRules: true,
    ...more,
  };
}

/** Every rule of everybody, without counters. */
export async function allRules(host: Namespace): Promise<string> {
  const outputs = [
    await host.run(['nft', '--stateless', 'list', 'ruleset']),
    await host.run(['iptables-nft-save']),
    await host.run(['iptables-legacy-save']),
  ];
  return outputs
    .join('')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/ \[\d+:\d+\]$/gm, '')
    .replaceAll(/counter packets \d+ bytes \d+/g, 'counter');
}
