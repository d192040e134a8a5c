import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ActualRoute, KernelError } from '../../../src/dataplane/kernel.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import type { RouteAnswer } from '../../../src/net/link.ts';
import { readInterfaceFacts } from '../../../src/path/interface-facts.ts';
import { directProof, RouteLookup } from '../../../src/path/route-lookup.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';

const peer = toIp('10.99.1.12');
const onLink: RouteAnswer = { type: 'unicast', iface: 'eth0', gateway: null, src: toIp('10.99.1.11') };

test.each<readonly [RouteAnswer | null, string | null]>([
  [onLink, null],
  [{ ...onLink, gateway: toIp('10.99.1.1') }, '10.99.1.12 is behind the router 10.99.1.1'],
  [{ ...onLink, iface: 'wg0' }, '10.99.1.12 is on wg0, not on eth0'],
  [{ ...onLink, type: 'local' }, '10.99.1.12 is an address of this host itself'],
  [{ ...onLink, type: 'broadcast' }, '10.99.1.12 is no address of a single host here'],
  [null, 'no route of this host leads to 10.99.1.12'],
])('%j proves, or says why not', (answer, reason) => {
  expect(directProof(peer, 'eth0', answer)).toEqual(
    reason === null ? { direct: true } : { direct: false, reason },
  );
});

describe('proofs', () => {
  let kernel: FakeKernel;
  let lookup: RouteLookup;
  let changes: number;
  let lookups: number;

  beforeEach(() => {
    vi.useFakeTimers();
    kernel = new FakeKernel();
    changes = 0;
    lookups = 0;
    lookup = new RouteLookup({
      kernel: {
        lookup: (ip) => {
          lookups++;
          return kernel.lookup(ip);
        },
        concern: () => undefined,
        onEvent: (listener) => kernel.onEvent(listener),
      },
      onChange: () => changes++,
    });
  });

  afterEach(async () => {
    await lookup.close();
    vi.useRealTimers();
  });

  function addRoute(dst: string): void {
    const route: ActualRoute = {
      ...{
        table: 254,
        dst: toCidr(dst),
        type: 'unicast',
        via: toIp('10.99.1.1'),
        iface: 'eth0',
        onlink: false,
      },
      ...{ src: null, mtu: null, metric: 0, protocol: 4, plain: true },
    };
    kernel.routes = [...kernel.routes, route];
    kernel.emit({ kind: 'route', table: 254, protocol: 4, dst: toCidr(dst) });
  }

  test('are those of the peers when setPeers resolves', async () => {
    await lookup.setPeers('eth0', [peer, toIp('10.98.0.2')]);
    expect([...lookup.proofs]).toMatchObject([
      [peer, { direct: true }],
      ['10.98.0.2', { direct: false }],
    ]);
    await lookup.setPeers('eth0', [peer]);
    expect([...lookup.proofs.keys()]).toEqual([peer]);
  });

  test('are those of the peers also for who asks at the very moment at which a round ends', async () => {
    for (let steps = 0; steps < 30; steps++) {
      const before = lookup.setPeers('eth0', [peer]);
      for (let step = 0; step < steps; step++) await Promise.resolve();
      await lookup.setPeers('eth0', [toIp('10.98.0.2')]);
      expect([steps, ...lookup.proofs.keys()]).toEqual([steps, '10.98.0.2']);
      await before;
    }
  });

  test('follow the routes, and say when they changed', async () => {
    await lookup.setPeers('eth0', [peer]);
    changes = 0;
    addRoute('10.99.1.12/32');
    await vi.advanceTimersByTimeAsync(10);
    expect(lookup.proofs.get(peer)).toEqual({
      direct: false,
      reason: '10.99.1.12 is behind the router 10.99.1.1',
    });
    expect(changes).toBe(1);
    kernel.emit({ kind: 'link', vxlan: false, iface: 'eth0' });
    await vi.advanceTimersByTimeAsync(10);
    expect(changes).toBe(1);
  });

  test('are not asked for again because of our own routes or ARP', async () => {
    await lookup.setPeers('eth0', [peer]);
    lookups = 0;
    kernel.emit({ kind: 'neighbour', iface: 'eth0' });
    kernel.emit({ kind: 'route', table: 254, protocol: 139, dst: toCidr('10.5.2.0/24') });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(lookups).toBe(0);
  });

  test('cost a bounded number of rounds, whatever a routing daemon does', async () => {
    await lookup.setPeers('eth0', [peer]);
    lookups = 0;
    for (let i = 0; i < 10_000; i++) {
      kernel.emit({ kind: 'route', table: 254, protocol: 186, dst: toCidr('192.0.2.0/24') });
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(lookups).toBeGreaterThan(10);
    expect(lookups).toBeLessThan(60);
  });

  test('stay what they were while the kernel cannot be asked, and are asked for again', async () => {
    await lookup.setPeers('eth0', [peer]);
    const { lookup: ask } = kernel;
    kernel.lookup = () => Promise.reject(new KernelError('EIO', 'look up', 'planted'));
    addRoute('10.99.1.12/32');
    await vi.advanceTimersByTimeAsync(100);
    expect(lookup.proofs.get(peer)).toEqual({ direct: true });
    kernel.lookup = ask;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(lookup.proofs.get(peer)).toMatchObject({ direct: false });
  });
});

test('facts for the choice of an interface: lookups that are asked for, and the best default route', async () => {
  const kernel = new FakeKernel();
  const base = { type: 'unicast', onlink: false, src: null, mtu: null, protocol: 3, plain: true } as const;
  const route = { ...base, table: 254, dst: toCidr('0.0.0.0/0'), via: toIp('10.99.1.1') };
  kernel.routes = [
    ...kernel.routes,
    { ...route, iface: 'wlan0', metric: 600 },
    { ...route, iface: 'eth0', metric: 100 },
  ];
  const facts = await readInterfaceFacts(kernel, { canReach: peer, joins: null });
  expect(facts).toMatchObject({
    wayToReach: onLink,
    wayToJoined: null,
    defaultIfaces: { 4: 'eth0', 6: null },
  });
  expect(facts.links).toBe(kernel.links);
});
