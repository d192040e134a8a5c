/**
 * What other programs of a host are known to do to a container network, done to ours: systemd-networkd removes routes
 * that it did not make, NetworkManager and udev change the tunnel's device, a DHCP client gives it an address, and a
 * provider's network that looks like one L2 is none.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { vtepMac } from '../../../src/backend/vxlan.ts';
import { networkConfig, nodeIdOf } from '../../support/leases.ts';
import { eventually } from '../eventually.ts';
import type { Container, Host, Lab } from '../lab.ts';
import { ping, traceroute } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import { DataPlane } from './data-plane.ts';

const CONFIG = networkConfig({ Type: 'host-gw' });

describe('programs that work against the agent', () => {
  const leases = [
    { number: 1, address: '10.99.1.11' },
    { number: 2, address: '10.99.1.12' },
    // Not there; behind the default gateway, so by vxlan.
    { number: 4, address: '10.99.2.14' },
  ];
  let host: Host;

  useLab(async (lab) => {
    const l2 = await lab.l2('x');
    host = await lab.host('a', { l2, address: '10.99.1.11/24', gateway: '10.99.1.1' });
  });

  /** A new one each time: it has seen no fight yet. */
  async function dataPlane(): Promise<DataPlane> {
    const plane = new DataPlane(host, { number: 1, address: '10.99.1.11' });
    await plane.program(CONFIG, leases);
    return plane;
  }

  test.each([
    [
      'networkd that removes routes and rules of others',
      'ip route flush proto 139; ip rule flush protocol 139',
    ],
    ['something that gives the device another MAC', 'ip link set flannel.1 address 02:01:02:03:04:05'],
    ['something that sets the device down', 'ip link set flannel.1 down'],
  ])('%s, again and again: it is answered, reported, and all is there when it ends', async (_, harm) => {
    await using a = await dataPlane();
    const codes = (): readonly string[] => a.reconciler.stats.problems.map(({ code }) => code);
    expect(codes()).not.toContain('contested');
    const program = a.host.start(['sh', '-c', `while :; do ${harm}; sleep 0.1; done`]);
    await eventually('the fight is reported', () => (codes().includes('contested') ? true : undefined));
    await program.stop('SIGKILL');
    await eventually('all is there', async () => ((await a.difference()).length === 0 ? true : undefined));
    expect(await a.host.ip('route show proto 139')).toMatch(/10\.5\.2\.0\/24 via 10\.99\.1\.12 dev eth0/);
    expect(await a.host.ip('link show flannel.1')).toContain(vtepMac(nodeIdOf(1)));
  });

  test('a DHCP client on the tunnel: its address is left to it, and ours stays', async () => {
    await using a = await dataPlane();
    await a.host.ip('address add 192.0.2.5/24 dev flannel.1 valid_lft 3600 preferred_lft 3600');
    await a.reconciler.sync();
    const addresses = await a.host.ip('-brief address show dev flannel.1');
    expect(addresses).toContain('192.0.2.5/24');
    expect(addresses).toContain('10.5.1.0/32');
    expect(await a.difference()).toEqual([]);
    await a.host.ip('address delete 192.0.2.5/24 dev flannel.1');
  });
});

describe('hosts of one subnet that only the provider’s router connects', () => {
  const leases = [
    { number: 1, address: '10.99.1.11' },
    { number: 2, address: '10.99.1.12' },
  ];
  const planes: DataPlane[] = [];
  const containers: Container[] = [];

  useLab(async (lab: Lab) => {
    // Each host has a wire of its own to the router, an address without neighbours, and a gateway that is told to be there.
    const wires = await Promise.all(leases.map(({ number }) => lab.l2(`x${number}`)));
    const router = await lab.router(
      'r',
      wires.map((l2) => ({ l2, address: '10.99.1.1/32' })),
    );
    for (const [place, self] of leases.entries()) {
      const l2 = wires[place];
      if (l2 === undefined) throw new Error('a wire for each host');
      const host = await lab.host(`h${self.number}`, { l2, address: `${self.address}/32` });
      await host.configure(['route add 10.99.1.1 dev eth0', 'route add default via 10.99.1.1']);
      await router.ip(`route add ${self.address} dev eth${place}`);
      await host.sysctl('net.ipv4.ip_forward', 1);
      const address = `10.5.${self.number}.2/24`;
      containers.push(
        await lab.container(`c${self.number}`, host, { address, gateway: `10.5.${self.number}.1/24` }),
      );
      planes.push(new DataPlane(host, self));
    }
    for (const plane of planes) await plane.program(CONFIG, leases);
  });
  afterAll(async () => {
    await Promise.all(planes.map((plane) => plane[Symbol.asyncDispose]()));
  });

  test('no direct route is made of equal prefixes: they go through the tunnel, and reach each other', async () => {
    const [plane] = planes as [DataPlane];
    const [from, to] = containers as [Container, Container];
    expect(await plane.host.ip('route show proto 139')).toMatch(
      /^10\.5\.2\.0\/24 via 10\.5\.2\.0 dev flannel\.1/m,
    );
    expect(await ping(from, to.address)).toMatchObject({ received: 1, ttl: 62 });
    expect(await traceroute(from, to.address)).toEqual(['10.5.1.1', '10.5.2.0', to.address]);
  });

  test('a direct route there would lead nowhere', async () => {
    const [plane] = planes as [DataPlane];
    const [from, to] = containers as [Container, Container];
    await plane.host.ip(`route add 10.5.2.0/24 via ${leases[1]?.address} dev eth0 onlink metric 5`);
    expect(await ping(from, to.address)).toMatchObject({ received: 0 });
    await plane.host.ip('route delete 10.5.2.0/24 metric 5');
    expect(await ping(from, to.address)).toMatchObject({ received: 1 });
  });
});
