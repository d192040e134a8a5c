/**
 * What every kernel must do for the data plane, run on the one in memory and on the real one: the fake is only worth
 * what this suite says. Each test starts from a host with `lo` and `eth0` that has 10.99.1.11/24.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Route, VxlanDevice } from '../../src/dataplane/desired-state.ts';
import type { ActualState, Kernel, KernelEvent, Op } from '../../src/dataplane/kernel.ts';
import { toCidr } from '../../src/net/cidr.ts';
import { toIp } from '../../src/net/ip.ts';
import { localMac } from '../../src/net/mac.ts';

/** A host and what anybody else does to it. */
export interface KernelUnderTest {
  readonly kernel: Kernel;
  setDown(iface: string): Promise<void>;
  deleteLink(iface: string): Promise<void>;
  /** `unicast` through 10.99.1.99, made by no daemon we know. */
  addForeignRoute(dst: string, metric: number): Promise<void>;
  deleteRoute(dst: string, metric: number): Promise<void>;
  deleteAddress(iface: string, ip: string): Promise<void>;
  close(): Promise<void>;
}

const ALIAS = 'tsflannel:0123456789abcdef0123456789abcdef';
const device: VxlanDevice = {
  ...{ name: 'flannel.1', vni: 1, port: 8472, local: toIp('10.99.1.11'), mtu: 1450 },
  ...{ mac: localMac(Buffer.from('0123456789ab', 'hex')), learning: false, gbp: false },
};
const peerMac = localMac(Uint8Array.of(2, 0, 0, 0, 0, 3));
const direct: Route = {
  ...{ dst: toCidr('10.5.2.0/24'), type: 'unicast', via: toIp('10.99.1.12'), iface: 'eth0', onlink: false },
  ...{ src: toIp('10.5.1.0'), mtu: 1400, metric: 6473 },
};
const tunnelled: Route = {
  ...{ dst: toCidr('10.5.3.0/24'), type: 'unicast', via: toIp('10.5.3.0'), iface: 'flannel.1', onlink: true },
  ...{ src: toIp('10.5.1.0'), mtu: null, metric: 6473 },
};
const lastResort: Route = {
  ...{ dst: toCidr('10.5.0.0/16'), type: 'unreachable', via: null, iface: null, onlink: false },
  ...{ src: null, mtu: null, metric: 4_294_967_295 },
};
const neighbour = { iface: 'flannel.1', ip: toIp('10.5.3.0'), mac: peerMac };
const entry = { iface: 'flannel.1', mac: peerMac, dst: toIp('10.98.0.3') };
const base = { iface: 'flannel.1', address: toCidr('10.5.1.0/32') };

const everything: readonly Op[] = [
  { kind: 'device-create', device, alias: ALIAS },
  { kind: 'address-add', address: base, label: null },
  { kind: 'neighbour-set', neighbour },
  { kind: 'fdb-set', entry },
  { kind: 'route-set', route: direct },
  { kind: 'route-set', route: tunnelled },
  { kind: 'route-set', route: lastResort },
];

/** Without what the kernel makes by itself. */
const ours = ({ routes }: ActualState): unknown => routes.filter(({ protocol }) => protocol === 139);

const made = (route: Route): unknown => ({ ...route, protocol: 139, plain: true });

export function kernelContract(make: () => Promise<KernelUnderTest>): void {
  let host: KernelUnderTest;
  let kernel: Kernel;

  beforeEach(async () => {
    host = await make();
    kernel = host.kernel;
  });

  afterEach(() => host.close());

  async function link(name: string): Promise<unknown> {
    return (await kernel.read()).links.find((it) => it.name === name);
  }

  describe('apply', () => {
    test('puts everything in place as it was asked for', async () => {
      expect(await kernel.apply(everything)).toEqual([]);
      const state = await kernel.read();
      const { name, vni, port, local, mac, mtu, learning, gbp } = device;
      const vxlan = { vni, port, local, learning, gbp, plain: true };
      expect(await link(name)).toMatchObject({ kind: 'vxlan', alias: ALIAS, mac, mtu, up: true, vxlan });
      expect(state.addresses).toContainEqual(
        expect.objectContaining({
          iface: name,
          ip: '10.5.1.0',
          prefixLength: 32,
          permanent: true,
          scope: 'global',
        }),
      );
      expect(state.neighbours).toEqual([neighbour]);
      expect(state.fdb).toEqual([entry]);
      expect(ours(state)).toEqual(expect.arrayContaining([direct, tunnelled, lastResort].map(made)));
    });

    test('a second time changes nothing', async () => {
      await kernel.apply(everything);
      const before = await kernel.read();
      expect(await kernel.apply(everything.slice(2))).toEqual([]);
      const after = await kernel.read();
      expect([after.neighbours, after.fdb]).toEqual([before.neighbours, before.fdb]);
      expect(ours(after)).toEqual(expect.arrayContaining([direct, tunnelled, lastResort].map(made)));
    });

    test('removes everything in reverse', async () => {
      const before = await kernel.read();
      await kernel.apply(everything);
      const state = await kernel.read();
      const address = state.addresses.find(({ ip }) => ip === '10.5.1.0');
      const failures = await kernel.apply([
        ...state.routes
          .filter(({ protocol }) => protocol === 139)
          .map((route): Op => ({ kind: 'route-delete', route })),
        { kind: 'fdb-delete', entry },
        { kind: 'neighbour-delete', neighbour },
        ...(address === undefined ? [] : [{ kind: 'address-delete', address } as const]),
        { kind: 'device-delete', name: device.name },
      ]);
      expect(failures).toEqual([]);
      expect(await kernel.read()).toEqual(before);
    });

    test('changes a device in place, and what is on it stays, but its neighbours when its MAC changes', async () => {
      await kernel.apply(everything);
      const changed: VxlanDevice = {
        ...device,
        ...{ local: toIp('10.99.1.77'), mtu: 1350, learning: true },
      };
      const before = await kernel.read();
      expect(
        await kernel.apply([
          { kind: 'device-change', device: changed, alias: 'tsflannel:other', setMac: false },
        ]),
      ).toEqual([]);
      const { local, mtu, mac, learning } = changed;
      expect(await link('flannel.1')).toMatchObject({
        ...{ mtu, mac, alias: 'tsflannel:other', up: true },
        vxlan: { local, learning, vni: 1, port: 8472 },
      });
      const after = await kernel.read();
      expect([after.routes, after.neighbours, after.fdb]).toEqual([
        before.routes,
        before.neighbours,
        before.fdb,
      ]);
      const newMac = { ...device, mac: localMac(Uint8Array.of(2, 9, 9, 9, 9, 9)) };
      expect(
        await kernel.apply([{ kind: 'device-change', device: newMac, alias: ALIAS, setMac: true }]),
      ).toEqual([]);
      const last = await kernel.read();
      expect([last.routes, last.neighbours, last.fdb]).toEqual([before.routes, [], before.fdb]);
    });

    test('replaces a neighbour, an FDB entry and a route in one step', async () => {
      await kernel.apply(everything);
      const mac = localMac(Uint8Array.of(2, 0, 0, 0, 0, 4));
      const moved: Route = { ...tunnelled, via: toIp('10.99.1.13'), iface: 'eth0', onlink: false };
      const failures = await kernel.apply([
        { kind: 'neighbour-set', neighbour: { ...neighbour, mac } },
        { kind: 'fdb-set', entry: { ...entry, dst: toIp('10.98.0.4') } },
        { kind: 'route-set', route: moved },
      ]);
      expect(failures).toEqual([]);
      const state = await kernel.read();
      expect(state.neighbours).toEqual([{ ...neighbour, mac }]);
      expect(state.fdb).toEqual([{ ...entry, dst: toIp('10.98.0.4') }]);
      expect(state.routes.filter(({ dst }) => dst === moved.dst)).toEqual([made(moved)]);
    });

    test('leaves a route of others with another metric alone', async () => {
      await host.addForeignRoute('10.5.2.0/24', 0);
      await kernel.apply(everything);
      const both = (await kernel.read()).routes.filter(({ dst }) => dst === '10.5.2.0/24');
      expect(both.map(({ metric }) => metric).sort((a, b) => a - b)).toEqual([0, 6473]);
      await kernel.apply(
        both.filter(({ metric }) => metric === 6473).map((route) => ({ kind: 'route-delete', route })),
      );
      expect((await kernel.read()).routes.filter(({ dst }) => dst === '10.5.2.0/24')).toMatchObject([
        { metric: 0 },
      ]);
    });

    test('would replace a route of others with our metric: why such a one is a conflict', async () => {
      await host.addForeignRoute('10.5.2.0/24', 6473);
      await kernel.apply(everything);
      expect((await kernel.read()).routes.filter(({ dst }) => dst === '10.5.2.0/24')).toEqual([made(direct)]);
    });

    test('tells which operation failed and why, and does the others', async () => {
      const lost: Op = {
        kind: 'route-set',
        route: { ...direct, dst: toCidr('10.5.7.0/24'), via: toIp('192.0.2.9') },
      };
      const unsourced: Op = {
        kind: 'route-set',
        route: { ...direct, dst: toCidr('10.5.8.0/24'), src: toIp('192.0.2.8') },
      };
      const nowhere: Op = { kind: 'neighbour-set', neighbour: { ...neighbour, iface: 'none0' } };
      const twice: Op = { kind: 'device-create', device: { ...device, name: 'flannel.9' }, alias: ALIAS };
      const [first, ...rest] = everything;
      if (first === undefined) throw new Error('no operations');
      const failures = await kernel.apply([first, twice, lost, unsourced, nowhere, ...rest, { ...lost }]);
      const codes = failures.map(({ op, code }) => ({ op, code }));
      expect(codes).toHaveLength(5);
      expect(codes).toEqual(
        expect.arrayContaining([
          { op: twice, code: 'EEXIST' },
          { op: lost, code: 'ENETUNREACH' },
          { op: unsourced, code: 'EINVAL' },
          { op: nowhere, code: 'ENODEV' },
        ]),
      );
      expect(ours(await kernel.read())).toHaveLength(3);
    });

    test('finds it right when what should go is gone already', async () => {
      await kernel.apply(everything);
      const { routes, addresses } = await kernel.read();
      await host.deleteLink('flannel.1');
      await host.deleteRoute('10.5.0.0/16', 4_294_967_295);
      const ops: readonly Op[] = [
        ...routes
          .filter(({ dst }) => dst === lastResort.dst)
          .map((route): Op => ({ kind: 'route-delete', route })),
        ...addresses
          .filter(({ iface }) => iface === 'flannel.1')
          .map((address): Op => ({ kind: 'address-delete', address })),
        { kind: 'neighbour-delete', neighbour },
        { kind: 'fdb-delete', entry },
        { kind: 'device-delete', name: 'flannel.1' },
      ];
      expect(await kernel.apply(ops)).toEqual([]);
    });
  });

  describe('what goes with what', () => {
    test('a device takes along everything on it, and its address the routes that prefer it', async () => {
      await kernel.apply(everything);
      await host.deleteLink('flannel.1');
      const state = await kernel.read();
      expect([state.neighbours, state.fdb]).toEqual([[], []]);
      expect(ours(state)).toEqual([made(lastResort)]);
    });

    test('a device that is set down loses routes and neighbours, and keeps the FDB', async () => {
      await kernel.apply(everything);
      await host.setDown('flannel.1');
      const state = await kernel.read();
      expect([state.neighbours, state.fdb]).toEqual([[], [entry]]);
      expect(ours(state)).toEqual(expect.arrayContaining([made(direct), made(lastResort)]));
      expect(await kernel.apply([{ kind: 'route-set', route: tunnelled }])).toMatchObject([
        { code: 'ENETDOWN' },
      ]);
    });

    test('an address that is on lo too keeps its routes when its device goes', async () => {
      await kernel.apply(everything);
      await kernel.apply([{ kind: 'address-add', address: { ...base, iface: 'lo' }, label: 'lo:tsflannel' }]);
      await kernel.apply([{ kind: 'device-delete', name: 'flannel.1' }]);
      expect(ours(await kernel.read())).toEqual(expect.arrayContaining([made(direct), made(lastResort)]));
      expect((await kernel.read()).addresses).toContainEqual(
        expect.objectContaining({ iface: 'lo', ip: '10.5.1.0', label: 'lo:tsflannel' }),
      );
      await host.deleteAddress('lo', '10.5.1.0');
      expect(ours(await kernel.read())).toEqual([made(lastResort)]);
    });
  });

  describe('lookup', () => {
    test('says whether an address is on the link, behind a router, ours, or nowhere', async () => {
      await host.addForeignRoute('192.0.2.0/24', 0);
      expect(await kernel.lookup(toIp('10.99.1.12'))).toEqual({
        ...{ type: 'unicast', iface: 'eth0', gateway: null, src: '10.99.1.11' },
      });
      expect(await kernel.lookup(toIp('192.0.2.7'))).toMatchObject({ iface: 'eth0', gateway: '10.99.1.99' });
      expect(await kernel.lookup(toIp('10.99.1.11'))).toMatchObject({ type: 'local' });
      expect(await kernel.lookup(toIp('203.0.113.7'))).toBeNull();
      await kernel.apply([{ kind: 'route-set', route: lastResort }]);
      expect(await kernel.lookup(toIp('10.5.200.1'))).toBeNull();
    });
  });
}

/** Resolves with the first event that `wanted` accepts. */
export function nextEvent(kernel: Kernel, wanted: (event: KernelEvent) => boolean): Promise<KernelEvent> {
  return new Promise((resolve) => {
    const stop = kernel.onEvent((event) => {
      if (!wanted(event)) return;
      stop();
      resolve(event);
    });
  });
}
