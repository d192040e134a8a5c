import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toIp } from '../../../src/net/ip.ts';
import { networkConfig, nodeIdOf } from '../../support/leases.ts';
import type { Container, Host } from '../lab.ts';
import { KernelWatch, ping, RunningPing, traceroute } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import { DataPlane } from './data-plane.ts';

const HOST_GW = networkConfig({ Type: 'host-gw' });
const VXLAN = networkConfig({ Type: 'vxlan' });
const WATCHED = ['link', 'address', 'route', 'neigh', 'rule'];

/** Their codes. A test that damages one thing after the other is a fight, and rightly reported as one. */
function problems({ reconciler }: DataPlane): readonly string[] {
  return reconciler.stats.problems.map(({ code }) => code).filter((code) => code !== 'contested');
}

const leases = [
  { number: 1, address: '10.99.1.11' },
  { number: 2, address: '10.99.1.12' },
  { number: 4, address: '10.99.2.14' },
];

describe('two hosts on one L2 and one behind a router', () => {
  let a: DataPlane;
  let b: DataPlane;
  let d: DataPlane;
  const containers: Container[] = [];
  const all = (): readonly DataPlane[] => [a, b, d];

  useLab(async (lab) => {
    const x = await lab.l2('x');
    const y = await lab.l2('y');
    await lab.router('r', [
      { l2: x, address: '10.99.1.1/24' },
      { l2: y, address: '10.99.2.1/24' },
    ]);
    const hosts = [
      await lab.host('a', { l2: x, address: '10.99.1.11/24', gateway: '10.99.1.1' }),
      await lab.host('b', { l2: x, address: '10.99.1.12/24', gateway: '10.99.1.1' }),
      await lab.host('d', { l2: y, address: '10.99.2.14/24', gateway: '10.99.2.1' }),
    ];
    const planes: DataPlane[] = [];
    for (const [index, self] of leases.entries()) {
      const host = hosts[index];
      if (host === undefined) throw new Error('a host is missing');
      await host.sysctl('net.ipv4.ip_forward', 1);
      const address = `10.5.${self.number}.2/24`;
      containers.push(
        await lab.container(`c${self.number}`, host, { address, gateway: `10.5.${self.number}.1/24` }),
      );
      planes.push(new DataPlane(host, self));
    }
    const [one, two, three] = planes;
    if (one === undefined || two === undefined || three === undefined) throw new Error('three hosts');
    [a, b, d] = [one, two, three];
  });

  afterAll(async () => {
    await Promise.all(all().map((plane) => plane[Symbol.asyncDispose]()));
  });

  async function program(config: typeof HOST_GW): Promise<void> {
    await Promise.all(all().map((plane) => plane.program(config, leases)));
    for (const plane of all()) {
      expect(plane.reconciler.stats).toMatchObject({ desired: 2, installed: 2, foreign: [] });
      expect(problems(plane)).toEqual([]);
      expect(await plane.difference()).toEqual([]);
    }
  }

  async function expectAllReach(): Promise<void> {
    for (const from of containers)
      for (const to of containers)
        if (from !== to)
          expect([from.name, to.name, await ping(from, to.address)]).toMatchObject([
            from.name,
            to.name,
            { received: 1, ttl: 62 },
          ]);
  }

  function container(index: number): Container {
    const found = containers[index];
    if (found === undefined) throw new Error('no such container');
    return found;
  }

  beforeAll(async () => {
    // A traceroute after the other: the kernel would answer one a second.
    for (const namespace of [...containers, ...all().map(({ host }) => host)])
      await namespace.sysctl('net.ipv4.icmp_ratelimit', 0);
  });

  beforeEach(() => program(HOST_GW));

  test('host-gw goes directly on the L2 and by vxlan behind the router', async () => {
    const paths = await a.program(HOST_GW, leases);
    expect(paths.get(nodeIdOf(2))).toMatchObject({ kind: 'direct' });
    expect(paths.get(nodeIdOf(4))).toMatchObject({
      ...{ kind: 'vxlan', direct: '10.99.2.14 is behind the router 10.99.1.1' },
    });
    const routes = await a.host.ip('route show proto 139');
    expect(routes).toMatch(/^10\.5\.2\.0\/24 via 10\.99\.1\.12 dev eth0 metric 6473/m);
    expect(routes).toMatch(
      /^10\.5\.4\.0\/24 via 10\.5\.4\.0 dev flannel\.1 src 10\.5\.1\.0 metric 6473 onlink/m,
    );
    expect(routes).toMatch(/^unreachable 10\.5\.0\.0\/16 metric 4294967295/m);
    await expectAllReach();
    expect(await traceroute(container(0), '10.5.2.2')).toEqual(['10.5.1.1', '10.99.1.12', '10.5.2.2']);
    expect(await traceroute(container(0), '10.5.4.2')).toEqual(['10.5.1.1', '10.5.4.0', '10.5.4.2']);
  });

  test('the host itself speaks to remote containers: from its address on the L2, through the tunnel from its subnet', async () => {
    expect((await a.kernel.lookup(toIp('10.5.2.2')))?.src).toBe('10.99.1.11');
    expect((await a.kernel.lookup(toIp('10.5.4.2')))?.src).toBe('10.5.1.0');
    expect(await ping(a.host, '10.5.2.2')).toMatchObject({ received: 1, ttl: 63 });
    expect(await ping(a.host, '10.5.4.2')).toMatchObject({ received: 1, ttl: 63 });
  });

  test('an unknown subnet does not leave by the default gateway', async () => {
    const way = ['ip', 'route', 'get', '10.5.77.2', 'from', '10.5.1.2', 'iif', 'docker0'];
    expect((await a.host.tryRun(way)).stderr).toContain('No route to host');
    expect((await a.host.run(way.map((word) => word.replace('77', '2')))).trim()).toContain('via 10.99.1.12');
  });

  test('vxlan takes the tunnel everywhere; changing over and back loses nothing', async () => {
    const running = new RunningPing(container(0), '10.5.2.2');
    await running.answered(10);
    await program(VXLAN);
    expect(await traceroute(container(0), '10.5.2.2')).toEqual(['10.5.1.1', '10.5.2.0', '10.5.2.2']);
    await expectAllReach();
    await program(HOST_GW);
    await program(VXLAN);
    await program(HOST_GW);
    const { sent, received } = await running.stop();
    expect(sent - received).toBe(0);
  });

  const damages: readonly (readonly [what: string, harm: (host: Host) => Promise<unknown>])[] = [
    ['all routes are flushed', (host) => host.ip('route flush proto 139')],
    ['one route is deleted', (host) => host.ip('route delete 10.5.2.0/24 metric 6473')],
    [
      'one route is replaced',
      (host) => host.ip('route replace 10.5.2.0/24 via 10.99.1.99 metric 6473 proto 139'),
    ],
    ['the device is deleted', (host) => host.ip('link delete flannel.1')],
    ['the device is set down', (host) => host.ip('link set flannel.1 down')],
    ['the MTU of the device is changed', (host) => host.ip('link set flannel.1 mtu 1300')],
    ['the MAC of the device is changed', (host) => host.ip('link set flannel.1 address 02:01:02:03:04:05')],
    [
      'the local address of the device is changed',
      (host) => host.ip('link set flannel.1 type vxlan id 1 local 10.99.1.77'),
    ],
    ['its address is deleted', (host) => host.ip('address delete 10.5.1.0/32 dev flannel.1')],
    ['a neighbour is deleted', (host) => host.ip('neigh delete 10.5.4.0 dev flannel.1')],
    ['neighbours are flushed', (host) => host.ip('neigh flush dev flannel.1 nud permanent')],
    [
      'an FDB entry is deleted',
      async (host) => {
        const [mac = ''] = (await host.run(['bridge', 'fdb', 'show', 'dev', 'flannel.1'])).split(' ');
        await host.run(['bridge', 'fdb', 'delete', mac, 'dev', 'flannel.1', 'dst', '10.99.2.14']);
      },
    ],
    [
      'the interface goes down and up',
      (host) => host.configure(['link set eth0 down', 'link set eth0 up', 'route add default via 10.99.1.1']),
    ],
    [
      'the interface loses and gets its address',
      (host) =>
        host.configure([
          'address flush dev eth0',
          'address add 10.99.1.11/24 dev eth0',
          'route add default via 10.99.1.1',
        ]),
    ],
  ];

  test.each(damages)('%s: it is put back', async (what, harm) => {
    const before = a.reconciler.stats.repaired;
    const repaired = a.repaired(before);
    await harm(a.host);
    const ms = await repaired;
    expect(await a.difference()).toEqual([]);
    expect(problems(a)).toEqual([]);
    expect(await ping(container(0), '10.5.2.2')).toMatchObject({ received: 1 });
    expect(await ping(container(0), '10.5.4.2')).toMatchObject({ received: 1 });
    process.stdout.write(`    ${what}: back ${ms.toFixed(0)} ms after the command was started\n`);
  });

  test('passes that find everything right change nothing', async () => {
    const watch = await KernelWatch.start(a.host, WATCHED);
    for (let i = 0; i < 3; i++) await a.reconciler.sync();
    await a.program(HOST_GW, leases);
    expect(await watch.stop()).toEqual([]);
  });

  test('what others made is the same before, during and after', async () => {
    await a.host.configure([
      'link add vxlan7 type vxlan id 7 dstport 4789 local 10.99.1.11',
      'link add br-other type bridge',
      'address add 192.0.2.1/24 dev br-other',
      'address add 10.5.99.0/32 dev lo',
      'link set br-other up',
      'route add 10.5.2.0/24 via 10.99.1.1 metric 9000',
      'route add 10.5.4.0/24 via 10.99.1.1 proto 139 metric 7000',
      'route add 203.0.113.0/24 via 10.99.1.1 proto 139',
      'route add blackhole 10.5.0.0/16 metric 5000 table 77',
      'rule add fwmark 0x77 table 77',
    ]);
    const foreign = async (): Promise<string> => {
      const routes = (await a.host.ip('route show table all'))
        .split('\n')
        .filter((line) => !/metric (6473|4294967295)/.test(line) && !line.includes('flannel.1'));
      // Neither counters nor timers.
      const links = (await a.host.ip('-d link show')).replace(
        /^\d+: flannel\.1[\s\S]*?(?=^\d+: |(?![\s\S]))/m,
        '',
      );
      const still = links.replace(/timer +[\d.]+/g, '');
      const rules = (await a.host.ip('rule show')).split('\n').filter((line) => !line.includes('proto 139'));
      return [...routes, ...rules, still, await a.host.ip('address show dev lo')].join('\n');
    };
    const before = await foreign();
    await a.host.ip('route flush proto 139 metric 6473');
    await program(VXLAN);
    expect(await foreign()).toBe(before);
    await program(HOST_GW);
    await a.host.ip('link delete flannel.1');
    await a.reconciler.sync();
    expect(await foreign()).toBe(before);
    expect(await a.reconciler.removeAll()).toEqual([]);
    expect(await foreign()).toBe(before);
    expect(await a.host.ip('route show metric 6473')).toBe('');
    await a.host.configure([
      'link delete vxlan7',
      'link delete br-other',
      'address delete 10.5.99.0/32 dev lo',
      'route delete 10.5.2.0/24 metric 9000',
      'route delete 10.5.4.0/24 metric 7000',
      'route delete 203.0.113.0/24',
      'route flush table 77',
      'rule delete fwmark 0x77 table 77',
    ]);
  });

  test('somebody else’s flannel.1 is reported and left as it is, and direct paths work', async () => {
    await a.reconciler.removeAll();
    await a.host.configure([
      'link add flannel.1 address 02:00:00:aa:bb:cc type vxlan id 1 dstport 8472 local 10.99.1.11 nolearning',
      'address add 10.5.1.0/32 dev flannel.1',
      'link set flannel.1 up',
    ]);
    const before = await a.host.ip('-d address show dev flannel.1');
    await a.program(HOST_GW, leases);
    expect(a.reconciler.stats).toMatchObject({ desired: 2, installed: 1 });
    expect(problems(a)).toEqual(['device-conflict']);
    expect(await ping(container(0), '10.5.2.2')).toMatchObject({ received: 1 });
    expect(await a.host.ip('-d address show dev flannel.1')).toBe(before);
    const repaired = a.repaired(a.reconciler.stats.repaired);
    await a.host.ip('link delete flannel.1');
    await repaired;
    expect(problems(a)).toEqual([]);
    await expectAllReach();
  });

  test('an old kernel’s broadcast entry for the subnet base is moved out of the way', async () => {
    await a.reconciler.removeAll();
    await a.host.ip(
      'route add broadcast 10.5.1.0 dev docker0 table local proto kernel scope link src 10.5.1.1',
    );
    await program(HOST_GW);
    expect(await a.host.ip('route show table local 10.5.1.0')).toMatch(/^local 10\.5\.1\.0 dev flannel\.1/);
    expect(await ping(d.host, '10.5.1.0')).toMatchObject({ received: 1 });
  });

  /** While the event loop stands still: `count` routes of others that come, then the flush of ours. */
  function flood(count: number, route: (index: number) => string): void {
    const lines = Array.from({ length: count }, (_, index) => `route add ${route(index)}`);
    const input = `${[...lines, 'route flush proto 139'].join('\n')}\n`;
    execFileSync('ip', ['-netns', a.host.netns, '-batch', '-'], { input });
  }

  async function overflowsIn(run: () => Promise<void>): Promise<number> {
    let overflows = 0;
    const stop = a.kernel.onEvent(({ kind }) => {
      if (kind === 'overflow') overflows++;
    });
    await run();
    stop();
    return overflows;
  }

  const index24 = (index: number): string => `${index >> 16}.${(index >> 8) & 0xff}.${index & 0xff}`;

  test('a hundred thousand routes of others elsewhere do no harm, and are not even told', async () => {
    const overflows = await overflowsIn(async () => {
      const repaired = a.repaired(a.reconciler.stats.repaired);
      flood(100_000, (index) => `blackhole 11.${index24(index)}/32 table ${index % 2 === 0 ? 254 : 88}`);
      await repaired;
    });
    expect(overflows).toBe(0);
    expect(await a.difference()).toEqual([]);
    await a.host.configure(['route flush table 88', 'route flush root 11.0.0.0/8']);
  });

  test('a flood of events that concern us and were lost is survived, and what went meanwhile is put back', async () => {
    const overflows = await overflowsIn(async () => {
      const repaired = a.repaired(a.reconciler.stats.repaired);
      flood(20_000, (index) => `blackhole 10.5.${128 + (index >> 8)}.${index & 0xff}/32`);
      await repaired;
    });
    expect(overflows).toBeGreaterThan(0);
    expect(await a.difference()).toEqual([]);
    await a.host.ip('route flush root 10.5.128.0/17');
  });
});
