/**
 * Every Docker that a host may run, with both kinds of iptables and in both orders of start: what has to work, and what
 * must not. What was seen goes into docs/docker-matrix.md, which this test writes with UPDATE_GOLDEN=1 and compares with
 * otherwise.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { FirewallConfig, FirewallEngine } from '../../../src/firewall/firewall.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { type Mac, parseMac } from '../../../src/net/mac.ts';
import type { Container, Host, Lab } from '../lab.ts';
import type { Namespace } from '../namespace.ts';
import { connectTcp, listenTcp } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import {
  type Bridge,
  bareHost,
  DOCKER_RULES,
  type NftablesOptions,
  startDocker,
  startNftablesDocker,
} from './docker-rules.ts';
import { firewallOn, type IptablesVariant, labConfig } from './lab-firewall.ts';

const MEMBERS = ['10.99.1.11', '10.99.1.12'];
const PORT = 8080;
const INTERNET = '203.0.113.9';
/** Of a container on host a that nobody runs. */
const SPOOFED = '10.5.1.99';
const BRIDGES = { a: bridge(1), b: bridge(2) };

/**
 *     container ca - host a ─┐          ┌─ spoofer, on a second L2
 *                            ├─ one L2  │
 *     container cb - host b ─┼──────────┘
 *                            └─ outsider, which routes to both leases and to the internet behind it
 */
interface Net {
  readonly a: Host;
  readonly b: Host;
  readonly outsider: Host;
  readonly spoofer: Host;
  readonly ca: Container;
  readonly cb: Container;
  readonly macs: { readonly a: Mac; readonly b: Mac };
}

let net: Net;
useLab(async (lab) => {
  net = await buildNet(lab);
});

/** What was found in one cell of the table. */
interface Cell {
  readonly docker: string;
  readonly iptables: string;
  readonly first: string;
  readonly needs: string;
  readonly seen: Readonly<Record<(typeof COLUMNS)[number], string>>;
}

const COLUMNS = [
  'unpublished port of a remote container',
  'source it sees',
  'host to remote container',
  'container to the internet',
  'outsider on the L2',
  'lease source on another interface',
  'lease source from another MAC',
  'vxlan from a non-member',
] as const;
const RIGHT: Cell['seen'] = {
  'unpublished port of a remote container': 'open',
  'source it sees': 'the container',
  'host to remote container': 'open',
  'container to the internet': 'masqueraded',
  'outsider on the L2': 'blocked',
  'lease source on another interface': 'dropped',
  'lease source from another MAC': 'dropped',
  'vxlan from a non-member': 'dropped',
};

const cells: Cell[] = [];
const FIRSTS = ['Docker', 'tsflannel'] as const;

describe.each(DOCKER_RULES)('Docker $name with iptables', (rules) => {
  describe.each(['legacy', 'nft'] as const)('-%s', (variant) => {
    test.each(FIRSTS)('%s first', async (first) => {
      const engine = engineOf(rules.version, 'iptables', {});
      await play(variant, first, engine, (host, lease) => startDocker(host, variant, rules, lease));
      await note({ docker: rules.name, iptables: variant, first, needs: '' });
    });
  });
});

describe.each([
  {
    docker: '29, nftables backend',
    needs:
      '`"bridge-accept-fwmark": "0x40000000/0x40000000"` and `"allow-direct-routing": true` in `daemon.json`',
    options: { isTold: true, isUnprotected: false },
  },
  {
    docker: '29, nftables backend, managed network',
    needs: 'nothing: the network is `nat-unprotected`',
    options: { isTold: false, isUnprotected: true },
  },
])('Docker $docker', ({ docker, needs, options }) => {
  test.each(FIRSTS)('%s first', async (first) => {
    await playNftables(first, options);
    await note({ docker, iptables: '-', first, needs });
    expect(firewalls.map(({ problems }) => problems)).toEqual([[], []]);
  });
});

test('Docker 29 with the nftables backend that was not told: the containers are closed, and a sentence says why', async () => {
  await playNftables('tsflannel', { isTold: false, isUnprotected: false });
  expect(await connectTcp(net.ca, net.cb.address, PORT, 1_000)).toBe(null);
  const config = configOf('b', engineOf('29.7.2', 'nftables', {}));
  const { firewall } = firewallOn(net.b, 'nft');
  await firewall.apply(config);
  expect(firewall.problems).toEqual([
    {
      code: 'docker-nftables-drops',
      severity: 'error',
      text: "Docker's nftables backend drops what other hosts send to the containers in 10.5.2.0/24, and rules of others cannot open it.",
      fix: 'Set "bridge-accept-fwmark": "0x40000000/0x40000000" and "allow-direct-routing": true in /etc/docker/daemon.json and restart Docker, or move the containers to the network that "tsflannel docker-opts --apply" makes.',
    },
  ]);
});

afterAll(() => {
  // Some of it was left out on the command line.
  if (cells.length < FIRSTS.length * (2 * DOCKER_RULES.length + 2)) return;
  const path = fileURLToPath(new URL('../../../docs/docker-matrix.md', import.meta.url));
  const text = matrix();
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(existsSync(path) ? readFileSync(path, 'utf8') : '').toBe(text);
});

/** Of the last cell: one more look at host b. */
let again: () => Promise<boolean>;
const firewalls: ReturnType<typeof firewallOn>['firewall'][] = [];

/** Both sides start on both hosts; whoever comes later finds the other's rules. */
async function play(
  variant: IptablesVariant,
  first: (typeof FIRSTS)[number],
  engine: FirewallEngine,
  start: (host: Host, lease: Bridge) => Promise<void>,
): Promise<void> {
  firewalls.length = 0;
  again = () => firewallOn(net.b, variant).firewall.apply(configOf('b', engine));
  await Promise.all(
    (['a', 'b'] as const).map(async (side) => {
      const host = net[side];
      await bareHost(host);
      const { firewall } = firewallOn(host, variant);
      firewalls.push(firewall);
      // No engine answers yet.
      if (first === 'tsflannel') await firewall.apply(configOf(side, null));
      await start(host, BRIDGES[side]);
      await firewall.apply(configOf(side, engine));
    }),
  );
}

async function playNftables(first: (typeof FIRSTS)[number], options: NftablesOptions): Promise<void> {
  const mode = options.isUnprotected
    ? { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' }
    : {};
  await play('nft', first, engineOf('29.7.2', 'nftables', mode), async (host, lease) => {
    await host.sysctl('net.ipv4.ip_forward', 1);
    await startNftablesDocker(host, lease, options);
  });
}

async function note(cell: Omit<Cell, 'seen'>): Promise<void> {
  const seen = await look();
  cells.push({ ...cell, seen });
  expect(seen).toEqual(RIGHT);
  // A process that has just started finds nothing to do.
  expect(await again()).toBe(false);
}

async function look(): Promise<Cell['seen']> {
  const { a, b, outsider, spoofer, ca, cb } = net;
  const counted = await countOn(b, cb);
  const open = (source: string | null): string => (source === null ? 'blocked' : 'open');
  const [there, back, host, internet, fromOutside] = await Promise.all([
    connectTcp(ca, cb.address, PORT, 5_000),
    connectTcp(cb, ca.address, PORT, 5_000),
    connectTcp(a, cb.address, PORT, 5_000),
    connectTcp(ca, INTERNET, PORT, 5_000),
    connectTcp(outsider, cb.address, PORT, 1_000),
    ping(ca, ca.address, cb.address),
    ping(outsider, SPOOFED, cb.address),
    ping(spoofer, SPOOFED, cb.address),
    ...[a, outsider].map((from) => sendVxlan(from, b.address)),
  ]);
  const { pings, spoofed, elsewhere, member, stranger } = await counted();
  // What is right arrives, so what is dropped would have been counted.
  expect([pings, member]).toEqual([1, 1]);
  const arrived = (count: number): string => (count === 0 ? 'dropped' : 'arrived');
  return {
    'unpublished port of a remote container': open(back === null ? null : there),
    'source it sees': there === ca.address && back === cb.address ? 'the container' : `${there}, ${back}`,
    'host to remote container': open(host),
    'container to the internet':
      internet === a.address ? 'masqueraded' : internet === null ? 'blocked' : `as ${internet}`,
    'outsider on the L2': open(fromOutside),
    'lease source on another interface': arrived(elsewhere),
    'lease source from another MAC': arrived(spoofed),
    'vxlan from a non-member': arrived(stranger),
  };
}

interface Counts {
  readonly pings: number;
  readonly spoofed: number;
  readonly elsewhere: number;
  readonly member: number;
  readonly stranger: number;
}

/** Counts what arrives in the container and on the host's vxlan port, behind everybody's rules. */
async function countOn(host: Host, container: Container): Promise<() => Promise<Counts>> {
  const inContainer = `table ip count; delete table ip count; table ip count {
    counter pings {}; counter spoofed {}; counter elsewhere {};
    chain input { type filter hook input priority 100;
      icmp type echo-request ip saddr ${net.ca.address} counter name pings
      icmp type echo-request ip saddr ${SPOOFED} ip ttl 61 counter name elsewhere
      icmp type echo-request ip saddr ${SPOOFED} ip ttl != 61 counter name spoofed
    }
  }`;
  const onHost = `table ip count; delete table ip count; table ip count {
    counter member {}; counter stranger {};
    chain input { type filter hook input priority 100;
      udp dport 8472 ip saddr ${net.a.address} counter name member
      udp dport 8472 ip saddr ${net.outsider.address} counter name stranger
    }
  }`;
  await Promise.all([
    container.run(['nft', '-f', '-'], { input: inContainer }),
    host.run(['nft', '-f', '-'], { input: onHost }),
  ]);
  return async () => {
    const outputs = await Promise.all(
      [container, host].map((namespace) => namespace.run(['nft', 'list', 'counters'])),
    );
    const count = (name: string): number =>
      Number(new RegExp(`counter ${name} \\{\\s+packets (\\d+)`).exec(outputs.join(''))?.[1] ?? Number.NaN);
    return {
      pings: count('pings'),
      spoofed: count('spoofed'),
      elsewhere: count('elsewhere'),
      member: count('member'),
      stranger: count('stranger'),
    };
  };
}

/** One packet; the spoofer's has its own time to live, by which the counters know it. */
async function ping(from: Namespace, source: string, to: string): Promise<void> {
  const ttl = from === net.spoofer ? 62 : 64;
  await from.tryRun(['ping', '-n', '-c', '1', '-W', '1', '-t', `${ttl}`, '-I', source, to]);
}

/** A header with our VNI, sent to a host's vxlan port. */
async function sendVxlan(from: Namespace, to: string): Promise<void> {
  await from.run(['bash', '--norc', '-c', `printf '\\x08\\0\\0\\0\\0\\0\\x01\\0' >/dev/udp/${to}/8472`]);
}

function engineOf(
  version: string,
  firewallBackend: 'iptables' | 'nftables',
  options: Readonly<Record<string, string>>,
): FirewallEngine {
  const subnets = [toCidr(BRIDGES.a.subnet), toCidr(BRIDGES.b.subnet)];
  return { version, firewallBackend, networks: subnets.map((subnet) => ({ subnets: [subnet], options })) };
}

function configOf(side: 'a' | 'b', engine: FirewallEngine | null): FirewallConfig {
  const peer = side === 'a' ? 'b' : 'a';
  const subnet = toCidr(BRIDGES[peer].subnet);
  return labConfig(BRIDGES[side].subnet, MEMBERS, {
    engine,
    peers: [{ subnet, iface: 'eth0', mac: net.macs[peer] }],
  });
}

function bridge(number: number): Bridge {
  return { subnet: `10.5.${number}.0/24`, container: `10.5.${number}.2` };
}

function matrix(): string {
  const head = ['Docker', 'iptables', 'starts first', ...COLUMNS, 'needs of Docker'];
  const row = (fields: readonly string[]): string => `| ${fields.join(' | ')} |`;
  const rows = cells.map(({ docker, iptables, first, seen, needs }) =>
    row([docker, iptables, first, ...COLUMNS.map((column) => seen[column]), needs || 'nothing']),
  );
  return `# Docker matrix

Written by \`test/lab/firewall/docker-matrix.test.ts\` from what it saw on a real kernel: two hosts with a container each,
their rules and ours, an outsider on their L2 that routes to both leases, and one that sends from a lease it does not
have. The rules of each Docker are those of its documentation, laid in by the test; the real engine 20.10 has a test of
its own (\`test/docker\`). \`28.0\` stands for 28.0 and 28.1, \`28.2\` for all later 28.x.

${[row(head), row(head.map(() => '---')), ...rows].join('\n')}

Docker 29 with the nftables backend and without these options keeps remote containers out whatever we do; the agent then
reports the problem \`docker-nftables-drops\`.
`;
}

async function buildNet(lab: Lab): Promise<Net> {
  const [l2, other] = [await lab.l2('x'), await lab.l2('y')];
  const a = await lab.host('a', { l2, address: '10.99.1.11/24' });
  const second = { l2: other, address: '10.99.2.12/24' };
  const b = await lab.host('b', { l2, address: '10.99.1.12/24', second });
  const outsider = await lab.host('o', { l2, address: '10.99.1.99/24' });
  const spoofer = await lab.host('s', { l2: other, address: '10.99.2.99/24' });
  const ca = await lab.container('ca', a, { address: '10.5.1.2/24', gateway: '10.5.1.1/24' });
  const cb = await lab.container('cb', b, { address: '10.5.2.2/24', gateway: '10.5.2.1/24' });
  for (const [host, peer, subnet] of [
    [a, b, BRIDGES.b.subnet],
    [b, a, BRIDGES.a.subnet],
  ] as const)
    await host.configure([
      `route add ${subnet} via ${peer.address}`,
      `route add default via ${outsider.address}`,
    ]);
  await outsider.configure([
    `address add ${INTERNET}/32 dev lo`,
    `address add ${SPOOFED}/32 dev lo`,
    'route add 10.5.1.0/24 via 10.99.1.11',
    'route add 10.5.2.0/24 via 10.99.1.12',
  ]);
  await spoofer.configure([`address add ${SPOOFED}/32 dev lo`, 'route add 10.5.2.0/24 via 10.99.2.12']);
  for (const node of [outsider, ca, cb]) await listenTcp(node, PORT);
  return { a, b, outsider, spoofer, ca, cb, macs: { a: await macOf(a), b: await macOf(b) } };
}

async function macOf(host: Host): Promise<Mac> {
  const mac = parseMac((await host.run(['cat', '/sys/class/net/eth0/address'])).trim());
  if (mac === undefined) throw new Error(`${host.name}: eth0 has no MAC`);
  return mac;
}
