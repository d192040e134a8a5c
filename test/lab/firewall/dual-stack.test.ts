/**
 * Both families on two hosts without an engine, and what our nftables table does beside keeping people out: the marks
 * on probes and their answers, and the clamped SYNs.
 */
import koffi from 'koffi';
import { beforeAll, expect, test } from 'vitest';
import type { FirewallConfig } from '../../../src/firewall/firewall.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { type Mac, parseMac } from '../../../src/net/mac.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { eventually } from '../eventually.ts';
import type { Container, Host } from '../lab.ts';
import type { Namespace } from '../namespace.ts';
import { connectTcp, ping } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import { firewallOn, labConfig } from './lab-firewall.ts';

const MEMBERS = ['10.99.1.11', '10.99.1.12'];
const MEMBERS6 = ['fd00:99:1::11', 'fd00:99:1::12'];
const PORT = 8080;
const MTU = 1400;

let a: Host;
let b: Host;
let outsider: Host;
let ca: Container;
let cb: Container;

useLab(async (lab) => {
  const l2 = await lab.l2('x');
  a = await lab.host('a', { l2, address: '10.99.1.11/24' });
  b = await lab.host('b', { l2, address: '10.99.1.12/24' });
  outsider = await lab.host('o', { l2, address: '10.99.1.99/24' });
  ca = await lab.container('ca', a, { address: '10.5.1.2/24', gateway: '10.5.1.1/24' });
  cb = await lab.container('cb', b, { address: '10.5.2.2/24', gateway: '10.5.2.1/24' });
  await setUp(a, ca, 1, 2);
  await setUp(b, cb, 2, 1);
  await outsider.configure([
    'address add fd00:99:1::99/64 dev eth0 nodad',
    'address add fd00:5:0:1::99/128 dev lo',
    ...['1', '2'].map((n) => `route add 10.5.${n}.0/24 via 10.99.1.1${n}`),
    ...['1', '2'].map((n) => `route add fd00:5:0:${n}::/64 via fd00:99:1::1${n}`),
  ]);
  for (const node of [ca, cb, outsider]) await listen(node);
});

beforeAll(async () => {
  await Promise.all([
    firewallOn(a).firewall.apply(config(1, 2, await macOf(b))),
    firewallOn(b).firewall.apply(config(2, 1, await macOf(a))),
  ]);
});

async function setUp(host: Host, container: Container, own: number, other: number): Promise<void> {
  await host.configure([
    `address add fd00:99:1::1${own}/64 dev eth0 nodad`,
    `address add fd00:5:0:${own}::1/64 dev docker0 nodad`,
    `address add 10.5.${own}.0/32 dev lo`,
    `address add fd00:5:0:${own}::/128 dev lo nodad`,
    `route add 10.5.${other}.0/24 via 10.99.1.1${other}`,
    `route add fd00:5:0:${other}::/64 via fd00:99:1::1${other}`,
  ]);
  await container.configure([
    `address add fd00:5:0:${own}::2/64 dev eth0 nodad`,
    `route add default via fd00:5:0:${own}::1`,
  ]);
}

function config(own: number, other: number, mac: Mac): FirewallConfig {
  const four = labConfig(`10.5.${own}.0/24`, MEMBERS);
  const peers = [`10.5.${other}.0/24`, `fd00:5:0:${other}::/64`].map(toCidr);
  return {
    ...four,
    families: [
      ...four.families,
      {
        network: toCidr('fd00:5::/48'),
        subnet: toCidr(`fd00:5:0:${own}::/64`),
        base: toIp(`fd00:5:0:${own}::`),
        memberIps: MEMBERS6.map(toIp),
        vxlan: { device: 'flannel-v6.1', vni: 1, port: 8472 },
      },
    ],
    peers: peers.map((subnet) => ({ subnet, iface: 'eth0', mac })),
    probes: { directMark: 0x10000000, vxlanMark: 0x20000000, mask: 0x30000000 },
    clamps: own === 2 ? peers.map((subnet) => ({ subnet, mtu: MTU })) : [],
  };
}

async function macOf(host: Host): Promise<Mac> {
  const mac = parseMac((await host.run(['cat', '/sys/class/net/eth0/address'])).trim());
  if (mac === undefined) throw new Error(`${host.name}: eth0 has no MAC`);
  return mac;
}

async function listen(node: Namespace): Promise<void> {
  const program = `require('net').createServer((s) => s.on('error', () => {}).end(s.remoteAddress + '\\n'))
    .listen({ port: ${PORT}, host: '::' }, () => console.log('listening'))`;
  await node.start([process.execPath, '-e', program]).line(/^listening$/);
}

/** The source that the server saw; null where no connection came about. */
async function source(from: Namespace, to: string, timeoutMs = 5_000): Promise<string | null> {
  return (await connectTcp(from, to, PORT, timeoutMs))?.replace(/^::ffff:/, '') ?? null;
}

/** Packets since the last time, by the name of the counter. */
async function counts(on: Namespace, names: readonly string[]): Promise<readonly number[]> {
  const printed = await on.run(['nft', 'list', 'counters', 'table', 'inet', 'count']);
  return names.map((name) =>
    Number(new RegExp(`counter ${name} \\{\\s+packets (\\d+)`).exec(printed)?.[1] ?? Number.NaN),
  );
}

test('containers and hosts reach each other in both families, outsiders reach nobody', async () => {
  expect(await source(ca, '10.5.2.2')).toBe('10.5.1.2');
  expect(await source(ca, 'fd00:5:0:2::2')).toBe('fd00:5:0:1::2');
  expect(await source(cb, 'fd00:5:0:1::2')).toBe('fd00:5:0:2::2');
  expect(await source(a, 'fd00:5:0:2::2')).toBe('fd00:99:1::11');
  const blocked = ['10.5.2.2', 'fd00:5:0:2::2'].map((to) => source(outsider, to, 1_000));
  expect(await Promise.all(blocked)).toEqual([null, null]);
});

test('a lease source of IPv6 from another MAC is dropped, and neighbours are still found', async () => {
  const spoofed = await ping(outsider, 'fd00:5:0:2::2', { source: 'fd00:5:0:1::99' });
  expect(spoofed).toMatchObject({ received: 0 });
  const seen =
    'table inet count { counter spoofed {}; chain input { type filter hook input priority 0; ip6 saddr fd00:5:0:1::99 counter name spoofed; }; }';
  await cb.run(['nft', '-f', '-'], { input: seen });
  await ping(outsider, 'fd00:5:0:2::2', { source: 'fd00:5:0:1::99' });
  expect(await counts(cb, ['spoofed'])).toEqual([0]);
  await Promise.all(['eth0', 'docker0'].map((iface) => b.ip(`-6 neighbour flush dev ${iface}`)));
  expect(await source(ca, 'fd00:5:0:2::2')).toBe('fd00:5:0:1::2');
});

test('a look at such a host finds it as it should be', async () => {
  const { firewall } = firewallOn(b);
  expect(await firewall.apply(config(2, 1, await macOf(a)))).toBe(false);
  expect(firewall.problems).toEqual([]);
});

test('a probe carries the mark of the way it came by, and so does its answer', async () => {
  const marks = `table inet count {
    counter asked {}; counter answered {}; counter asked6 {}; counter answered6 {}; counter others {};
    chain input { type filter hook input priority 0;
      icmp type echo-request ip daddr 10.5.2.0 meta mark & 0x30000000 == 0x10000000 counter name asked
      icmpv6 type echo-request ip6 daddr fd00:5:0:2:: meta mark & 0x30000000 == 0x10000000 counter name asked6
      ip daddr 10.99.1.12 meta mark != 0 counter name others
    }
    chain output { type filter hook output priority 0;
      icmp type echo-reply meta mark & 0x30000000 == 0x10000000 counter name answered
      icmpv6 type echo-reply meta mark & 0x30000000 == 0x10000000 counter name answered6
    }
  }`;
  await b.run(['nft', '-f', '-'], { input: marks });
  expect(await ping(a, '10.5.2.0', { source: '10.5.1.0' })).toMatchObject({ received: 1 });
  expect(await ping(a, 'fd00:5:0:2::', { source: 'fd00:5:0:1::' })).toMatchObject({ received: 1 });
  expect(await ping(a, '10.99.1.12')).toMatchObject({ received: 1 });
  const names = ['asked', 'answered', 'asked6', 'answered6', 'others'];
  expect(await counts(b, names)).toEqual([1, 1, 1, 1, 0]);
});

test.each([
  ['10.5', '10.5.1.2', '10.5.2.2', MTU - 40],
  ['fd00:5', 'fd00:5:0:1::2', 'fd00:5:0:2::2', MTU - 60],
])(
  'SYNs of %s are clamped both ways by the host that knows of the smaller path',
  async (_, toA, toB, size) => {
    const name = `size${size}`;
    const sizes = `table inet ${name} { chain input { type filter hook input priority 0;
    tcp flags syn tcp option maxseg size ${size} counter; }; }`;
    for (const node of [ca, cb]) await node.run(['nft', '-f', '-'], { input: sizes });
    expect(await source(ca, toB)).toBe(toA);
    for (const node of [ca, cb])
      expect(await node.run(['nft', 'list', 'table', 'inet', name])).toContain('counter packets 1 ');
  },
);

test('a host that takes router advertisements keeps its default route when it begins to forward', async () => {
  const { firewall } = firewallOn(outsider);
  for (const iface of ['all', 'eth0']) await outsider.sysctl(`net.ipv6.conf.${iface}.forwarding`, 0);
  await outsider.sysctl('net.ipv6.conf.eth0.accept_ra', 1);
  await advertise(a);
  const byAdvertisement = async (): Promise<true | undefined> =>
    (await outsider.ip('-6 route show default')).includes('proto ra') ? true : undefined;
  await eventually('a default route by advertisement', byAdvertisement);
  await firewall.apply({ ...config(2, 1, await macOf(a)), peers: [] });
  expect(await outsider.sysctl('net.ipv6.conf.all.forwarding')).toBe('1');
  expect(await outsider.sysctl('net.ipv6.conf.eth0.accept_ra')).toBe('2');
  expect(await byAdvertisement()).toBe(true);
  await firewall.remove();
  expect(await outsider.sysctl('net.ipv6.conf.all.forwarding')).toBe('0');
  expect(await outsider.sysctl('net.ipv6.conf.eth0.accept_ra')).toBe('1');
});

/** One router advertisement with a lifetime of half an hour, to all nodes on the host's L2. */
async function advertise(from: Host): Promise<void> {
  const [, index = ''] = /^(\d+): eth0/m.exec(await from.ip('-oneline link show dev eth0')) ?? [];
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const setsockopt = libc.func(
    'int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)',
  );
  const sendto = libc.func(
    'long sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)',
  );
  const [AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS] = [10, 3, 58, 41, 18];
  const fd = inNamespace(from.netns, () => socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
  // Whoever is not on the link cannot send one with 255 left.
  setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, Buffer.from(Uint32Array.of(255).buffer), 4);
  const address = Buffer.alloc(28);
  address.writeUInt16LE(AF_INET6, 0);
  Buffer.from('ff020000000000000000000000000001', 'hex').copy(address, 8);
  address.writeUInt32LE(Number(index), 24);
  const message = Buffer.from('86000000400007080000000000000000', 'hex');
  expect(sendto(fd, message, message.length, 0, address, address.length)).toBe(message.length);
  libc.func('int close(int fd)')(fd);
}
