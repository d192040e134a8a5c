import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type DesiredState, NOTHING_DESIRED, type Route } from '../../../src/dataplane/desired-state.ts';
import type { KernelEvent } from '../../../src/dataplane/kernel.ts';
import { isOurRoute } from '../../../src/dataplane/ownership.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { NODE_ID } from './arbitraries.ts';

function direct(third: number, via = `10.99.1.${third}`): Route {
  return {
    ...{ table: 254, dst: toCidr(`10.5.${third}.0/24`), type: 'unicast', via: toIp(via), iface: 'eth0' },
    ...{ onlink: false, src: null, mtu: null, metric: 6473 },
  };
}

const desired: DesiredState = { ...NOTHING_DESIRED, routes: [direct(12), direct(13)] };

function routeEvent(dst: string, protocol = 139): KernelEvent {
  return { kind: 'route', table: 254, protocol, dst: toCidr(dst) };
}

let kernel: FakeKernel;
let reconciler: Reconciler;

const ours = (): readonly string[] => kernel.routes.filter(isOurRoute).map(({ dst }) => dst);

/** Somebody removes a route of ours, and the kernel tells. */
function lose(dst: string): void {
  kernel.routes = kernel.routes.filter((route) => route.dst !== dst || !isOurRoute(route));
  kernel.emit(routeEvent(dst));
}

beforeEach(() => {
  vi.useFakeTimers();
  kernel = new FakeKernel();
  reconciler = new Reconciler({ kernel, nodeId: NODE_ID });
});

afterEach(async () => {
  await reconciler.close();
  vi.useRealTimers();
});

async function settled(state: DesiredState = desired): Promise<void> {
  reconciler.setDesired(state);
  await vi.advanceTimersByTimeAsync(10);
  kernel.applied.length = 0;
  kernel.reads = 0;
}

describe('until it knows what is desired', () => {
  test('it neither reads nor writes, whatever happens', async () => {
    kernel.emit({ kind: 'overflow' });
    await vi.advanceTimersByTimeAsync(120_000);
    expect([kernel.reads, kernel.applied]).toEqual([0, []]);
    expect(reconciler.stats).toMatchObject({ desired: 0, installed: 0, lastSyncAt: null });
  });
});

describe('once it knows', () => {
  test('it is synced when everything was tried', async () => {
    reconciler.setDesired(desired);
    expect(reconciler.stats).toMatchObject({ desired: 2, installed: 0 });
    await vi.advanceTimersByTimeAsync(10);
    await reconciler.synced;
    expect(ours()).toEqual(['10.5.12.0/24', '10.5.13.0/24']);
    expect(reconciler.stats).toMatchObject({
      desired: 2,
      installed: 2,
      repaired: 0,
      foreign: [],
      problems: [],
    });
    expect(reconciler.isInstalled(toCidr('10.5.12.0/24'))).toBe(true);
    expect(reconciler.isInstalled(toCidr('10.5.14.0/24'))).toBe(false);
  });

  test('many states at once cost one pass, for the last of them', async () => {
    for (let third = 20; third < 60; third++)
      reconciler.setDesired({ ...NOTHING_DESIRED, routes: [direct(third)] });
    await vi.advanceTimersByTimeAsync(10);
    expect(ours()).toEqual(['10.5.59.0/24']);
    expect(kernel.reads).toBe(1);
  });

  test('the same state again costs nothing', async () => {
    await settled();
    reconciler.setDesired(structuredClone(desired));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(kernel.reads).toBe(0);
  });

  test('a lost route is back after one event, and counted', async () => {
    await settled();
    lose('10.5.12.0/24');
    await vi.advanceTimersByTimeAsync(5);
    expect(ours()).toHaveLength(2);
    expect(reconciler.stats.repaired).toBe(1);
  });

  test('a burst of events is one pass, and what comes during a pass is one more', async () => {
    await settled();
    for (let i = 0; i < 1000; i++) kernel.emit({ kind: 'link', vxlan: false, iface: 'eth0' });
    await vi.advanceTimersByTimeAsync(5);
    expect(kernel.reads).toBe(1);
    const { read } = kernel;
    kernel.read = async () => {
      kernel.read = read;
      const state = await read.call(kernel);
      lose('10.5.13.0/24');
      return state;
    };
    kernel.emit({ kind: 'overflow' });
    await vi.advanceTimersByTimeAsync(10);
    expect(ours()).toHaveLength(2);
  });

  test('events that do not concern it cost nothing', async () => {
    await settled();
    kernel.emit({ kind: 'neighbour', iface: 'eth0' });
    kernel.emit({ kind: 'rule', protocol: 3 });
    kernel.emit(routeEvent('192.0.2.0/24', 4));
    kernel.emit({ ...routeEvent('10.5.12.0/24', 4), table: 100 } as KernelEvent);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(kernel.reads).toBe(0);
  });

  test.each<KernelEvent>([
    { kind: 'overflow' },
    { kind: 'link', vxlan: false, iface: null },
    { kind: 'address', iface: 'eth0' },
    routeEvent('10.5.0.0/16', 4),
    routeEvent('10.5.12.0/24', 4),
  ])('%o does', async (event) => {
    await settled();
    kernel.emit(event);
    await vi.advanceTimersByTimeAsync(5);
    expect(kernel.reads).toBe(1);
  });

  test('what no event told is found by the periodic resync', async () => {
    await settled();
    kernel.routes = kernel.routes.filter((route) => !isOurRoute(route));
    await vi.advanceTimersByTimeAsync(31_000);
    expect(kernel.applied).toHaveLength(2);
  });
});

describe('when the kernel refuses', () => {
  test('one operation, the others go on, it is reported, and tried again with growing pauses', async () => {
    await settled({ ...NOTHING_DESIRED, routes: [direct(12), direct(14, '192.0.2.7'), direct(13)] });
    expect(ours()).toEqual(['10.5.12.0/24', '10.5.13.0/24']);
    expect(reconciler.stats).toMatchObject({ desired: 3, installed: 2 });
    expect(reconciler.stats.problems).toMatchObject([
      { code: 'kernel-refuses', text: expect.stringContaining('10.5.14.0/24 via 192.0.2.7') },
    ]);
    await vi.advanceTimersByTimeAsync(60_000);
    // 0.1 + 0.2 + 0.4 ... up to 30 s.
    expect(kernel.applied.length).toBeGreaterThanOrEqual(8);
    expect(kernel.applied.length).toBeLessThanOrEqual(12);
    expect(kernel.applied.every((op) => op.kind === 'route-add' && op.route.dst === '10.5.14.0/24')).toBe(
      true,
    );
    kernel.addAddress('eth0', toIp('192.0.2.1'), 24);
    kernel.emit({ kind: 'address', iface: 'eth0' });
    await vi.advanceTimersByTimeAsync(5);
    expect(reconciler.stats).toMatchObject({ installed: 3, problems: [], repaired: 0 });
  });

  test('a thousand operations, that is one problem', async () => {
    const routes = Array.from({ length: 200 }, (_, third) => direct(third, '192.0.2.7'));
    await settled({ ...NOTHING_DESIRED, routes });
    expect(reconciler.stats.problems).toHaveLength(1);
    expect(reconciler.stats.problems[0]?.text).toContain('and 199 more');
  });

  test('to be read, nothing is written and it is asked again', async () => {
    kernel.failNext('read', 2);
    await settled();
    expect(reconciler.stats.problems).toMatchObject([{ code: 'kernel-unreachable' }]);
    expect(ours()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ours()).toHaveLength(2);
    expect(reconciler.stats.problems).toEqual([]);
  });
});

describe('what is not ours', () => {
  test('a device with our name is reported and left alone, and direct routes go on', async () => {
    const mac = localMac(Buffer.alloc(6));
    const device = { name: 'flannel.1', vni: 1, port: 8472, local: toIp('10.99.1.11'), mac, mtu: 1450 };
    kernel.addVxlan({ ...device, learning: true, gbp: false }, null);
    const before = kernel.links;
    await settled({
      ...desired,
      devices: [{ ...device, mac: localMac(Buffer.from(NODE_ID, 'hex')), learning: false, gbp: false }],
    });
    expect(kernel.links).toBe(before);
    expect(reconciler.stats.problems).toMatchObject([{ code: 'device-conflict' }]);
    expect(reconciler.stats.installed).toBe(2);
  });

  test('a route that is used in place of ours is counted', async () => {
    kernel.routes = [...kernel.routes, { ...direct(12), metric: 0, protocol: 4, plain: true }];
    await settled();
    expect(reconciler.stats).toMatchObject({ desired: 2, installed: 2, foreign: ['10.5.12.0/24'] });
  });

  test('a route with our destination and metric keeps ours out, and is reported', async () => {
    kernel.routes = [...kernel.routes, { ...direct(12), protocol: 4, plain: true }];
    await settled();
    expect(reconciler.stats).toMatchObject({ desired: 2, installed: 1, foreign: ['10.5.12.0/24'] });
    expect(reconciler.stats.problems).toMatchObject([{ code: 'route-conflict' }]);
    expect(kernel.routes.filter(({ protocol }) => protocol === 4)).toHaveLength(1);
  });

  test('what keeps ours out is not tried against all the time, and ours follows when it goes', async () => {
    const before = kernel.routes;
    kernel.routes = [...before, { ...direct(12), protocol: 4, plain: true }];
    await settled();
    await vi.advanceTimersByTimeAsync(29_000);
    expect(kernel.reads).toBe(0);
    kernel.routes = kernel.routes.filter(({ protocol }) => protocol !== 4);
    kernel.emit(routeEvent('10.5.12.0/24', 4));
    await vi.advanceTimersByTimeAsync(10);
    expect(reconciler.stats).toMatchObject({ installed: 2, foreign: [], problems: [], repaired: 0 });
  });

  test('destinations are asked for once, and a few in turn at each resync', async () => {
    const many = Array.from({ length: 200 }, (_, i) => direct(i));
    await settled({ ...NOTHING_DESIRED, routes: many });
    expect(kernel.matched).toHaveLength(200);
    // The first 128 have had their turn.
    await vi.advanceTimersByTimeAsync(31_000);
    expect(kernel.matched).toHaveLength(272);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(kernel.matched).toHaveLength(400);
    kernel.emit(routeEvent('10.5.12.0/25', 4));
    await vi.advanceTimersByTimeAsync(10);
    expect(kernel.matched.slice(400)).toEqual(['10.5.12.0']);
  });
});

describe('somebody who removes a route again and again', () => {
  test('is answered at a bounded rate, and reported', async () => {
    await settled();
    const apply = kernel.apply.bind(kernel);
    kernel.apply = async (ops) => {
      const failures = await apply(ops);
      setTimeout(() => lose('10.5.12.0/24'), 0);
      return failures;
    };
    lose('10.5.12.0/24');
    await vi.advanceTimersByTimeAsync(10_000);
    const passes = kernel.reads;
    expect(passes).toBeGreaterThan(100);
    expect(passes).toBeLessThan(300);
    expect(reconciler.stats.problems).toMatchObject([
      { code: 'contested', severity: 'warning', text: expect.stringContaining('10.5.12.0/24') },
    ]);
    kernel.apply = apply;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(reconciler.stats).toMatchObject({ installed: 2, problems: [] });
  });
});

describe('at the end', () => {
  test('close leaves everything in place and does nothing more', async () => {
    await settled();
    await reconciler.close();
    lose('10.5.12.0/24');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(kernel.reads).toBe(0);
    expect(ours()).toEqual(['10.5.13.0/24']);
  });

  test('removeAll takes what is ours, and says what it could not take', async () => {
    await settled();
    kernel.routes = [...kernel.routes, { ...direct(12), metric: 5, protocol: 4, plain: true }];
    kernel.failNext('route-delete');
    expect(await reconciler.removeAll()).toMatchObject([{ code: 'EIO', op: { kind: 'route-delete' } }]);
    expect(await reconciler.removeAll()).toEqual([]);
    expect(ours()).toEqual([]);
    expect(kernel.routes.filter(({ protocol }) => protocol === 4)).toHaveLength(1);
  });

  test('removeAll works without a desired state, as a command does that has no agent', async () => {
    kernel.routes = [{ ...direct(12), protocol: 139, plain: true }];
    expect(await reconciler.removeAll()).toEqual([]);
    expect(ours()).toEqual([]);
  });
});
