/**
 * The agent is killed between any two changes that it makes to the firewall, on its way in and on its way out: the next
 * apply completes the rules, and a removal finds its way back to what was there before.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { exec } from '../../../src/firewall/exec.ts';
import type { FirewallConfig } from '../../../src/firewall/firewall.ts';
import { HostFirewall } from '../../../src/firewall/host-firewall.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';
import { allRules, firewallOn, labConfig, sysctlsOf } from './lab-firewall.ts';

const FOUR = labConfig('10.5.1.0/24', ['10.99.1.11', '10.99.1.12']);
const CONFIG: FirewallConfig = {
  ...FOUR,
  families: [
    ...FOUR.families,
    {
      network: toCidr('fd00:5::/48'),
      subnet: toCidr('fd00:5:0:1::/64'),
      base: toIp('fd00:5:0:1::'),
      memberIps: ['fd00:99:1::11', 'fd00:99:1::12'].map(toIp),
      vxlan: { device: 'flannel-v6.1', vni: 1, port: 8472 },
    },
  ],
  probes: { directMark: 0x10000000, vxlanMark: 0x20000000, mask: 0x30000000 },
  engine: { version: '28.2.2', firewallBackend: 'iptables', networks: [] },
};
const SETTINGS = [
  'net.ipv4.ip_forward',
  'net.ipv4.fwmark_reflect',
  'net.ipv4.conf.eth0.rp_filter',
  'net.ipv4.conf.eth0.src_valid_mark',
  'net.ipv6.conf.all.forwarding',
  'net.ipv6.conf.eth0.accept_ra',
  'net.ipv6.fwmark_reflect',
];

let host: Host;
useLab(async (lab) => {
  const l2 = await lab.l2('x');
  host = await lab.host('a', { l2, address: '10.99.1.11/24' });
  await host.sysctl('net.ipv4.conf.eth0.rp_filter', 1);
  await host.sysctl('net.ipv6.conf.eth0.accept_ra', 1);
  // Rules of somebody else where ours are.
  await host.run(['iptables-nft', '-A', 'FORWARD', '-s', '192.0.2.0/24', '-j', 'DROP']);
  await host.run(['iptables-nft', '-t', 'raw', '-A', 'PREROUTING', '-s', '192.0.2.0/24', '-j', 'DROP']);
  await host.run(['ip6tables-nft', '-A', 'FORWARD', '-s', '2001:db8::/64', '-j', 'DROP']);
  bare = await everything();
  const counting = killedAfter(Number.POSITIVE_INFINITY);
  await counting.firewall.apply(CONFIG);
  changesIn = counting.changes();
  complete = await everything();
  const leaving = killedAfter(Number.POSITIVE_INFINITY);
  await leaving.firewall.remove();
  changesOut = leaving.changes();
});

let bare: string;
let complete: string;
let changesIn: number;
let changesOut: number;
/** More than there are changes on either way; those that are not reached say so. */
const CHANGES_MAX = 16;
const KILLS = Array.from({ length: CHANGES_MAX }, (_, i) => i);

test('there is something to interrupt, and nothing is left out', async () => {
  expect(await everything()).toBe(bare);
  expect(complete).not.toBe(bare);
  expect(changesIn).toBeGreaterThan(9);
  expect(Math.max(changesIn, changesOut)).toBeLessThanOrEqual(CHANGES_MAX);
});

describe('killed on the way in', () => {
  afterEach(expectBare);

  test.each(KILLS)(
    'after %i changes: the next apply completes it, removal leaves what was there',
    async (kill) => {
      if (kill >= changesIn) return;
      await killed(() => killedAfter(kill).firewall.apply(CONFIG));
      await firewallOn(host).firewall.apply(CONFIG);
      expect(await everything()).toBe(complete);
      await firewallOn(host).firewall.remove();
    },
  );

  test.each(KILLS)('after %i changes: removal leaves what was there', async (kill) => {
    if (kill >= changesIn) return;
    await killed(() => killedAfter(kill).firewall.apply(CONFIG));
    await firewallOn(host).firewall.remove();
  });
});

describe('killed on the way out', () => {
  afterEach(expectBare);

  test.each(KILLS)('after %i changes: applied again, and removed', async (kill) => {
    if (kill >= changesOut) return;
    await firewallOn(host).firewall.apply(CONFIG);
    await killed(() => killedAfter(kill).firewall.remove());
    await firewallOn(host).firewall.apply(CONFIG);
    expect(await everything()).toBe(complete);
    await firewallOn(host).firewall.remove();
  });

  test.each(KILLS)('after %i changes: removed again', async (kill) => {
    if (kill >= changesOut) return;
    await firewallOn(host).firewall.apply(CONFIG);
    await killed(() => killedAfter(kill).firewall.remove());
    await firewallOn(host).firewall.remove();
  });
});

async function expectBare(): Promise<void> {
  expect(await everything()).toBe(bare);
}

class Killed extends Error {}

async function killed(work: () => Promise<unknown>): Promise<void> {
  await expect(work()).rejects.toThrow(Killed);
}

/** A firewall whose process ends before the change that follows the first `changes`. */
function killedAfter(changes: number): { readonly firewall: HostFirewall; readonly changes: () => number } {
  let made = 0;
  let isDead = false;
  const change = <T>(make: () => Promise<T>): Promise<T> => {
    isDead ||= made >= changes;
    if (isDead) throw new Killed();
    made++;
    return make();
  };
  const real = sysctlsOf(host);
  const firewall = new HostFirewall({
    foundFile: `${host.directory}/run/firewall.json`,
    watch: null,
    exec: async ([tool = '', ...args], input) => {
      const argv = host.command([tool.replace(/^(ip6?tables)/, '$1-nft'), ...args]);
      const isChange = args.includes('-f') || tool.endsWith('-restore');
      if (isDead) throw new Killed();
      return isChange ? change(() => exec(argv, input)) : exec(argv, input);
    },
    sysctls: {
      read: (key) => real.read(key),
      write: (key, value) => change(() => real.write(key, value)),
    },
  });
  return { firewall, changes: () => made };
}

/** Everybody's rules, in whatever order the tables were made, and the settings. */
async function everything(): Promise<string> {
  const settings = await host.run(['sysctl', ...SETTINGS]);
  const six = (await host.run(['ip6tables-nft-save'])).replaceAll(/^#.*\n| \[\d+:\d+\]$/gm, '');
  const tables = `${await allRules(host)}${six}`
    .split(/^(?=table |\*)/m)
    // iptables tells of its own tables, and one that was made and is empty decides nothing.
    .filter((table) => !/^table ip6? (filter|raw) |^\*\S+\n(:\S+ ACCEPT\n)*COMMIT\n$/.test(table));
  return [...tables.sort(), settings].join('');
}
