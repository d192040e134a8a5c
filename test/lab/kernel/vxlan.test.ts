/**
 * Every option of the backends on the real kernel: what the device, its frames and the routes become, and that a
 * device whose parameters change keeps its MAC and gets its peers back. Two hosts on one L2, one behind a router.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, expect, test } from 'vitest';
import { vtepMac } from '../../../src/backend/vxlan.ts';
import { networkConfig, nodeIdOf } from '../../support/leases.ts';
import type { Container, Host, L2 } from '../lab.ts';
import { ping } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import { DataPlane } from './data-plane.ts';

const leases = [
  { number: 1, address: '10.99.1.11' },
  { number: 2, address: '10.99.1.12' },
  { number: 4, address: '10.99.2.14' },
];

let l2: L2;
let a: DataPlane;
let d: DataPlane;
const planes: DataPlane[] = [];
const containers: Container[] = [];

useLab(async (lab) => {
  l2 = await lab.l2('x');
  const y = await lab.l2('y');
  await lab.router('r', [
    { l2, address: '10.99.1.1/24' },
    { l2: y, address: '10.99.2.1/24' },
  ]);
  for (const self of leases) {
    const isNear = self.address.startsWith('10.99.1.');
    const host = await lab.host(`h${self.number}`, {
      l2: isNear ? l2 : y,
      address: `${self.address}/24`,
      gateway: isNear ? '10.99.1.1' : '10.99.2.1',
    });
    await host.sysctl('net.ipv4.ip_forward', 1);
    const address = `10.5.${self.number}.2/24`;
    containers.push(
      await lab.container(`c${self.number}`, host, { address, gateway: `10.5.${self.number}.1/24` }),
    );
    planes.push(new DataPlane(host, self));
  }
  [a, , d] = planes as [DataPlane, DataPlane, DataPlane];
});

afterAll(async () => {
  await Promise.all(planes.map((plane) => plane[Symbol.asyncDispose]()));
});

interface Device {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly address: string;
  readonly linkinfo: { readonly info_data: Readonly<Record<string, unknown>> };
}

async function devices(host: Host): Promise<readonly Device[]> {
  return JSON.parse((await host.ip('-d -json link show type vxlan')) || '[]');
}

/** The one vxlan device there is. */
async function device(host: Host): Promise<Device> {
  const found = await devices(host);
  expect(found).toHaveLength(1);
  return found[0] as Device;
}

async function program(backend: object): Promise<void> {
  const config = networkConfig(backend);
  await Promise.all(planes.map((plane) => plane.program(config, leases)));
  for (const plane of planes) {
    expect(plane.reconciler.stats.problems.filter(({ code }) => code !== 'contested')).toEqual([]);
    expect(await plane.difference()).toEqual([]);
  }
}

async function reaches(to: string, size = 56): Promise<boolean> {
  const [from] = containers as [Container];
  return (await ping(from, to, { size, dontFragment: true })).received === 1;
}

async function expectAllReached(): Promise<void> {
  expect([await reaches('10.5.2.2'), await reaches('10.5.4.2')]).toEqual([true, true]);
}

test('without options: VNI 1, port 8472, no lower device, nothing learned, the link’s MTU less the overhead', async () => {
  await program({ Type: 'vxlan' });
  const { ifname, mtu, address, linkinfo } = await device(a.host);
  expect([ifname, mtu, address]).toEqual(['flannel.1', 1450, vtepMac(nodeIdOf(1))]);
  expect(linkinfo.info_data).toMatchObject({
    ...{ id: 1, port: 8472, local: '10.99.1.11', learning: false },
  });
  for (const absent of ['link', 'gbp']) expect(linkinfo.info_data).not.toHaveProperty(absent);
  await expectAllReached();
});

test('VNI and Port are those of the device and of its frames', async () => {
  await program({ Type: 'vxlan', VNI: 4242, Port: 4790 });
  const { ifname, linkinfo } = await device(a.host);
  expect([ifname, linkinfo.info_data['id'], linkinfo.info_data['port']]).toEqual([
    'flannel.4242',
    4242,
    4790,
  ]);
  // On the wire: counts what is for that port with that VNI (24 bits, 4 bytes into the vxlan header).
  const rule = 'table netdev wire { chain c { type filter hook ingress device eth0 priority 0;';
  await d.host.run(['nft', `${rule} udp dport 4790 @th,96,24 4242 counter; }; }`]);
  await expectAllReached();
  expect(await d.host.run(['nft', 'list', 'table', 'netdev', 'wire'])).toMatch(/packets [1-9]/);
  await d.host.run(['nft', 'delete', 'table', 'netdev', 'wire']);
});

test('a change of the VNI moves everything to a new device, and the old one goes', async () => {
  await program({ Type: 'vxlan', VNI: 7 });
  await program({ Type: 'vxlan', VNI: 8 });
  expect((await device(a.host)).ifname).toBe('flannel.8');
  await expectAllReached();
});

/** Which parameters of a device can be changed while it is there; the kernel refuses the others. */
test.each([
  ['Port', { Port: 4790 }, { port: 4790 }, 'made anew'],
  ['GBP', { GBP: true }, { gbp: true }, 'made anew'],
  ['Learning', { Learning: true }, { learning: true }, 'kept'],
  ['MTU', { MTU: 1400 }, {}, 'kept'],
])(
  'a change of %s: the device keeps its MAC and has its peers, and changing back the same',
  async (_, options, info, fate) => {
    await program({ Type: 'vxlan' });
    const before = await device(a.host);
    await program({ Type: 'vxlan', ...options });
    const after = await device(a.host);
    expect(after.linkinfo.info_data).toMatchObject(info);
    expect(after.address).toBe(before.address);
    expect(after.ifindex === before.ifindex ? 'kept' : 'made anew').toBe(fate);
    const peers = await a.host.run(['bridge', 'fdb', 'show', 'dev', 'flannel.1']);
    for (const [number, address] of [
      [2, '10.99.1.12'],
      [4, '10.99.2.14'],
    ] as const)
      expect(peers).toContain(`${vtepMac(nodeIdOf(number))} dst ${address}`);
    await expectAllReached();
    await program({ Type: 'vxlan' });
    expect((await device(a.host)).linkinfo.info_data).toMatchObject({ port: 8472, learning: false });
    await expectAllReached();
  },
);

test('a device that somebody made anew with other parameters is put right the same way', async () => {
  await program({ Type: 'vxlan' });
  const repaired = a.repaired(a.reconciler.stats.repaired);
  const { address } = await device(a.host);
  const lines = [
    'link delete flannel.1',
    `link add flannel.1 address ${address} type vxlan id 1 dstport 4790 dev eth0 local 10.99.1.11`,
  ];
  // While the event loop stands still, or the loop would be faster than the second line.
  execFileSync('ip', ['-netns', a.host.netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  await repaired;
  expect((await device(a.host)).linkinfo.info_data).toMatchObject({ port: 8472, learning: false });
  await expectAllReached();
});

test('MTU is of the outer packets: what fits passes, one byte more does not', async () => {
  await program({ Type: 'vxlan', MTU: 1400 });
  expect((await device(a.host)).mtu).toBe(1350);
  expect([await reaches('10.5.4.2', 1322), await reaches('10.5.4.2', 1323)]).toEqual([true, false]);
});

test('DirectRouting goes directly on the L2, and through the tunnel behind the router', async () => {
  await program({ Type: 'vxlan', DirectRouting: true });
  const routes = await a.host.ip('route show proto 139');
  expect(routes).toMatch(/^10\.5\.2\.0\/24 via 10\.99\.1\.12 dev eth0 /m);
  expect(routes).toMatch(/^10\.5\.4\.0\/24 via 10\.5\.4\.0 dev flannel\.1 .*onlink/m);
  await expectAllReached();
  await program({ Type: 'vxlan' });
  expect(await a.host.ip('route show proto 139')).not.toContain('dev eth0');
  await expectAllReached();
});

test('host-gw with no fallback has no device and its base on lo; who is behind a router is not reached', async () => {
  await program({ Type: 'host-gw', Fallback: 'none' });
  expect(await devices(a.host)).toEqual([]);
  expect(await a.host.ip('-brief address show dev lo')).toContain('10.5.1.0/32');
  const paths = await a.program(networkConfig({ Type: 'host-gw', Fallback: 'none' }), leases);
  expect(paths.get(nodeIdOf(4))).toMatchObject({ kind: 'down' });
  expect(paths.get(nodeIdOf(4))?.reason).toMatch(/has no fallback/);
  expect([await reaches('10.5.2.2'), await reaches('10.5.4.2')]).toEqual([true, false]);
  // Its base answers from there as it does from a device.
  expect(await ping(d.host, '10.5.4.0')).toMatchObject({ received: 1 });
  await program({ Type: 'host-gw' });
  expect(await a.host.ip('-brief address show dev lo')).not.toContain('10.5.1.0/32');
  await expectAllReached();
});

test('alloc leaves nothing in the kernel', async () => {
  await program({ Type: 'vxlan' });
  await program({ Type: 'alloc' });
  expect(await devices(a.host)).toEqual([]);
  expect(await a.host.ip('route show proto 139')).toBe('');
  expect(await a.host.ip('address show to 10.5.1.0/32')).toBe('');
});
