/**
 * What every kernel must do for the data plane, run on the one in memory and on the real one: the fake is only worth
 * what this suite says. Each test starts from a host with `lo` and `eth0` that has
 * 10.99.1.11/24 and fd00:99:1::11/64.
 */
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Route, Rule, VxlanDevice } from '../../src/dataplane/desired-state.ts';
import type { ActualRoute, ActualState, Kernel, KernelEvent, Op } from '../../src/dataplane/kernel.ts';
import { isMarked } from '../../src/dataplane/ownership.ts';
import { type Cidr, cidrBase, hostCidr, toCidr } from '../../src/net/cidr.ts';
import { type Family, type Ip, toIp } from '../../src/net/ip.ts';
import { linkLocalOf, localMac } from '../../src/net/mac.ts';

/** A host and what anybody else does to it. Other's routes lead through 10.99.1.99 or fd00:99:1::99. */
export interface KernelUnderTest {
  readonly kernel: Kernel;
  setDown(iface: string): Promise<void>;
  deleteLink(iface: string): Promise<void>;
  addForeignRoute(dst: string, metric: number): Promise<void>;
  deleteRoute(dst: string, metric: number): Promise<void>;
  deleteAddress(iface: string, address: Cidr): Promise<void>;
  close(): Promise<void>;
}

const ALIAS = 'tsflannel:0123456789abcdef0123456789abcdef';
const peerMac = localMac(Uint8Array.of(2, 0, 0, 0, 0, 3));

/** One host of each family, in the same shape. */
function world(family: Family) {
  const at = <T>(v4: T, v6: T): T => (family === 4 ? v4 : v6);
  const cidr = (v4: string, v6: string): Cidr => toCidr(at(v4, v6));
  const ip = (v4: string, v6: string): Ip => toIp(at(v4, v6));
  const name = at('flannel.1', 'flannel-v6.1');
  const own = ip('10.5.1.0', 'fd00:5:1::');
  const device: VxlanDevice = {
    ...{ name, vni: 1, port: 8472, local: ip('10.99.1.11', 'fd00:99:1::11'), mtu: 1430 },
    ...{ mac: localMac(Buffer.from('0123456789ab', 'hex')), learning: false, gbp: false },
  };
  const direct: Route = {
    ...{ table: 254, dst: cidr('10.5.2.0/24', 'fd00:5:2::/64'), type: 'unicast', iface: 'eth0' },
    ...{ via: ip('10.99.1.12', 'fd00:99:1::12'), onlink: false, src: own, mtu: 1400, metric: 6473 },
  };
  const peer = family === 4 ? toIp('10.5.3.0') : linkLocalOf(peerMac);
  const tunnelled: Route = {
    ...{ table: 254, dst: cidr('10.5.3.0/24', 'fd00:5:3::/64'), type: 'unicast', iface: name },
    ...{ via: peer, onlink: family === 4, src: own, mtu: null, metric: 6473 },
  };
  const lastResort: Route = {
    ...{ table: 254, dst: cidr('10.5.0.0/16', 'fd00:5::/32'), type: 'unreachable', via: null, iface: null },
    ...{ onlink: false, src: null, mtu: null, metric: 4_294_967_295 },
  };
  const probe: Route = { ...direct, table: 6473, dst: cidr('10.5.2.0/32', 'fd00:5:2::/128'), mtu: null };
  const noProbe: Route = { ...lastResort, table: 6473, dst: cidr('0.0.0.0/0', '::/0'), metric: 6473 };
  const rule: Rule = { family, priority: 6473, mark: 0x1000_0000, mask: 0x3000_0000, table: 6473 };
  const neighbour = { iface: name, ip: peer, mac: peerMac };
  const entry = { iface: name, mac: peerMac, dst: ip('10.98.0.3', 'fd00:98::3') };
  const base = { iface: name, address: hostCidr(own) };
  const everything: readonly Op[] = [
    { kind: 'device-create', device, alias: ALIAS },
    { kind: 'address-add', address: base, marked: false },
    { kind: 'neighbour-set', neighbour },
    { kind: 'fdb-set', entry },
    ...[direct, tunnelled, lastResort, probe, noProbe].map(
      (route) => ({ kind: 'route-add', route }) as const,
    ),
    { kind: 'rule-add', rule },
  ];
  return {
    ...{ family, at, ip, cidr, name, own, device, direct, tunnelled, lastResort, probe, noProbe },
    ...{ rule, neighbour, entry, base, everything },
  };
}

/** Without what the kernel makes by itself. */
const ours = ({ routes }: ActualState): unknown => routes.filter(({ protocol }) => protocol === 139);

const made = (route: Route): unknown => ({ ...route, protocol: 139, plain: true });

export function kernelContract(family: Family, make: () => Promise<KernelUnderTest>): void {
  const { ip, cidr, name, own, device, direct, tunnelled, lastResort, probe, noProbe, ...more } =
    world(family);
  const { rule, neighbour, entry, base, everything } = more;
  const routes = [direct, tunnelled, lastResort, probe, noProbe].map(made);
  let host: KernelUnderTest;
  let kernel: Kernel;

  beforeEach(async () => {
    host = await make();
    kernel = host.kernel;
  });

  afterEach(() => host.close());

  /** Without those that the kernel makes for addresses. */
  async function foreign(): Promise<readonly ActualRoute[]> {
    return (await kernel.foreignRoutes(lastResort.dst)).filter(({ protocol }) => protocol !== 2);
  }

  async function link(name: string): Promise<unknown> {
    return (await kernel.read()).links.find((it) => it.name === name);
  }

  describe('apply', () => {
    test('puts everything in place as it was asked for', async () => {
      expect(await kernel.apply(everything)).toEqual([]);
      const state = await kernel.read();
      const { vni, port, local, mac, mtu, learning, gbp } = device;
      const vxlan = { vni, port, local, learning, gbp, plain: true };
      expect(await link(name)).toMatchObject({ kind: 'vxlan', alias: ALIAS, mac, mtu, up: true, vxlan });
      expect(state.addresses).toContainEqual(
        expect.objectContaining({
          iface: name,
          ip: own,
          prefixLength: family === 4 ? 32 : 128,
          permanent: true,
          scope: 'global',
        }),
      );
      expect(state.neighbours).toEqual([neighbour]);
      expect(state.fdb).toEqual([entry]);
      expect(ours(state)).toEqual(sameEntries(routes));
      expect(state.rules).toEqual([{ ...rule, protocol: 139, plain: true }]);
    });

    test('a second time changes nothing', async () => {
      await kernel.apply(everything);
      const before = await kernel.read();
      const again = everything.slice(2).filter(({ kind }) => kind !== 'rule-add' && kind !== 'route-add');
      const replaced = [direct, tunnelled, lastResort, probe, noProbe].map(
        (route): Op => ({ kind: 'route-replace', route }),
      );
      expect(await kernel.apply([...again, ...replaced])).toEqual([]);
      const after = await kernel.read();
      expect([after.neighbours, after.fdb]).toEqual([before.neighbours, before.fdb]);
      expect(ours(after)).toEqual(sameEntries(routes));
    });

    test('removes everything in reverse', async () => {
      const before = await kernel.read();
      await kernel.apply(everything);
      const state = await kernel.read();
      const address = state.addresses.find(({ ip }) => ip === own);
      const failures = await kernel.apply([
        ...state.rules.map((found): Op => ({ kind: 'rule-delete', rule: found })),
        ...state.routes
          .filter(({ protocol }) => protocol === 139)
          .map((route): Op => ({ kind: 'route-delete', route })),
        { kind: 'fdb-delete', entry },
        { kind: 'neighbour-delete', neighbour },
        ...(address === undefined ? [] : [{ kind: 'address-delete', address } as const]),
        { kind: 'device-delete', name },
      ]);
      expect(failures).toEqual([]);
      expect(await kernel.read()).toEqual(before);
    });

    test('changes a device in place, and what is on it stays, but its neighbours when its MAC changes', async () => {
      await kernel.apply(everything);
      const changed: VxlanDevice = {
        ...device,
        ...{ local: ip('10.99.1.77', 'fd00:99:1::77'), mtu: 1350, learning: true },
      };
      const before = await kernel.read();
      expect(
        await kernel.apply([
          { kind: 'device-change', device: changed, alias: 'tsflannel:other', setMac: false },
        ]),
      ).toEqual([]);
      const { local, mtu, mac, learning } = changed;
      expect(await link(name)).toMatchObject({
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
      const moved: Route = {
        ...tunnelled,
        via: ip('10.99.1.13', 'fd00:99:1::13'),
        iface: 'eth0',
        onlink: false,
      };
      const failures = await kernel.apply([
        { kind: 'neighbour-set', neighbour: { ...neighbour, mac } },
        { kind: 'fdb-set', entry: { ...entry, dst: ip('10.98.0.4', 'fd00:98::4') } },
        { kind: 'route-replace', route: moved },
      ]);
      expect(failures).toEqual([]);
      const state = await kernel.read();
      expect(state.neighbours).toEqual([{ ...neighbour, mac }]);
      expect(state.fdb).toEqual([{ ...entry, dst: ip('10.98.0.4', 'fd00:98::4') }]);
      expect(state.routes.filter(({ dst }) => dst === moved.dst)).toEqual([made(moved)]);
      expect(await kernel.apply([{ kind: 'route-replace', route: tunnelled }])).toEqual([]);
      expect((await kernel.read()).routes).toContainEqual(made(tunnelled));
    });

    test('IPv6 refuses a gateway that leads elsewhere now: why that of a tunnel is link-local', async () => {
      await kernel.apply(everything);
      const inside: Route = { ...tunnelled, dst: direct.dst, via: cidrBase(direct.dst), onlink: true };
      const failures = await kernel.apply([{ kind: 'route-replace', route: inside }]);
      expect(failures.map(({ code }) => code)).toEqual(family === 4 ? [] : ['EINVAL']);
    });

    test('leaves a route of others with another metric alone', async () => {
      await host.addForeignRoute(direct.dst, 100);
      await kernel.apply(everything);
      const before = await foreign();
      expect(before).toMatchObject([{ dst: direct.dst, metric: 100 }]);
      const { routes: found } = await kernel.read();
      await kernel.apply(found.map((route) => ({ kind: 'route-delete', route })));
      expect(await foreign()).toEqual(before);
    });

    test('adds no route beside one of others with our metric, and replaces none by adding', async () => {
      await host.addForeignRoute(direct.dst, 6473);
      const before = await foreign();
      expect(await kernel.apply([{ kind: 'route-add', route: lastResort }])).toEqual([]);
      const ops: readonly Op[] = [direct, { ...direct, dst: cidr('10.5.9.0/24', 'fd00:5:0:9::/64') }].map(
        (route): Op => ({ kind: 'route-add', route: { ...route, src: null } }),
      );
      expect(await kernel.apply(ops)).toMatchObject([{ op: ops[0], code: 'EEXIST' }]);
      expect(await foreign()).toEqual(before);
      expect(before).toMatchObject([{ dst: direct.dst, metric: 6473 }]);
    });

    test('would replace a route of others with our metric, were it asked to', async () => {
      await host.addForeignRoute(direct.dst, 6473);
      await kernel.apply([{ kind: 'route-replace', route: { ...direct, src: null } }]);
      expect(await foreign()).toEqual([]);
      expect(ours(await kernel.read())).toEqual([made({ ...direct, src: null })]);
    });

    test('tells which operation failed and why, and does the others', async () => {
      const lost: Op = {
        kind: 'route-add',
        route: { ...direct, dst: cidr('10.5.7.0/24', 'fd00:5:7::/64'), via: ip('192.0.2.9', '2001:db8::9') },
      };
      const unsourced: Op = {
        kind: 'route-add',
        route: { ...direct, dst: cidr('10.5.8.0/24', 'fd00:5:8::/64'), src: ip('192.0.2.8', '2001:db8::8') },
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
          { op: lost, code: family === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH' },
          { op: unsourced, code: 'EINVAL' },
          { op: nowhere, code: 'ENODEV' },
        ]),
      );
      expect(ours(await kernel.read())).toEqual(sameEntries(routes));
    });

    test('finds it right when what should go is gone already', async () => {
      await kernel.apply(everything);
      const before = await kernel.read();
      await host.deleteLink(name);
      await host.deleteRoute(lastResort.dst, 4_294_967_295);
      const ops: readonly Op[] = [
        ...before.routes
          .filter(({ dst }) => dst === lastResort.dst)
          .map((route): Op => ({ kind: 'route-delete', route })),
        ...before.addresses
          .filter(({ iface }) => iface === name)
          .map((address): Op => ({ kind: 'address-delete', address })),
        { kind: 'neighbour-delete', neighbour },
        { kind: 'fdb-delete', entry },
        { kind: 'device-delete', name },
      ];
      expect(await kernel.apply(ops)).toEqual([]);
    });
  });

  describe('what goes with what', () => {
    test('a device takes along everything on it, and an IPv4 address the main table’s routes that prefer it', async () => {
      await kernel.apply(everything);
      await host.deleteLink(name);
      const state = await kernel.read();
      expect([state.neighbours, state.fdb]).toEqual([[], []]);
      const left = family === 4 ? [probe, lastResort, noProbe] : [direct, probe, lastResort, noProbe];
      expect(ours(state)).toEqual(sameEntries(left.map(made)));
    });

    test('a device that is set down loses routes and neighbours, IPv6 addresses too, and keeps the FDB', async () => {
      await kernel.apply(everything);
      await host.setDown(name);
      const state = await kernel.read();
      expect([state.neighbours, state.fdb]).toEqual([[], [entry]]);
      expect(ours(state)).toEqual(sameEntries([direct, probe, lastResort, noProbe].map(made)));
      expect(state.addresses.some(({ iface }) => iface === name)).toBe(family === 4);
      expect(await kernel.apply([{ kind: 'route-add', route: { ...tunnelled, src: null } }])).toMatchObject([
        { code: 'ENETDOWN' },
      ]);
    });

    test('an address that is on lo too keeps its routes when its device goes', async () => {
      await kernel.apply(everything);
      await kernel.apply([{ kind: 'address-add', address: { ...base, iface: 'lo' }, marked: true }]);
      await kernel.apply([{ kind: 'device-delete', name }]);
      const state = await kernel.read();
      expect(ours(state)).toEqual(sameEntries([direct, probe, lastResort, noProbe].map(made)));
      const address = state.addresses.find((it) => it.iface === 'lo' && it.ip === own);
      expect(address === undefined ? false : isMarked(address)).toBe(true);
      await host.deleteAddress('lo', base.address);
      // IPv4 takes along those of the main table, IPv6 takes the preference from them.
      const left = family === 4 ? [probe] : [direct, probe].map((route) => ({ ...route, src: null }));
      expect(ours(await kernel.read())).toEqual(sameEntries([...left, lastResort, noProbe].map(made)));
    });
  });

  describe('lookup', () => {
    test('says whether an address is on the link, behind a router, ours, or nowhere', async () => {
      await host.addForeignRoute(cidr('192.0.2.0/24', '2001:db8::/48'), 100);
      const router = ip('10.99.1.99', 'fd00:99:1::99');
      const self = ip('10.99.1.11', 'fd00:99:1::11');
      expect(await kernel.lookup(ip('10.99.1.12', 'fd00:99:1::12'))).toEqual({
        ...{ type: 'unicast', iface: 'eth0', gateway: null, src: self },
      });
      expect(await kernel.lookup(ip('192.0.2.7', '2001:db8::7'))).toMatchObject({
        ...{ iface: 'eth0', gateway: router },
      });
      expect(await kernel.lookup(self)).toMatchObject({ type: 'local' });
      expect(await kernel.lookup(ip('203.0.113.7', '2001:db8:1::7'))).toBeNull();
      await kernel.apply([{ kind: 'route-add', route: lastResort }]);
      expect(await kernel.lookup(ip('10.5.200.1', 'fd00:5:0:200::1'))).toBeNull();
    });
  });

  test('who answers at which address on an interface', async () => {
    await kernel.apply(everything);
    const known = await kernel.neighboursOn(neighbour.iface);
    expect([...known]).toEqual([[neighbour.ip, neighbour.mac]]);
    expect([...(await kernel.neighboursOn('eth9'))]).toEqual([]);
  });

  describe('what others have', () => {
    test('the routes by which packets go are named, whoever made them', async () => {
      const other = cidr('192.0.2.0/24', '2001:db8::/48');
      await host.addForeignRoute(direct.dst, 100);
      await host.addForeignRoute(other, 100);
      await kernel.apply(everything);
      const asked = [direct.dst, tunnelled.dst, other, cidr('203.0.113.0/24', '2001:db8:1::/48')].map(
        cidrBase,
      );
      expect(await kernel.match([...asked, ip('10.5.200.1', 'fd00:5:0:200::1')])).toMatchObject([
        { dst: direct.dst, metric: 100, via: ip('10.99.1.99', 'fd00:99:1::99'), table: 254 },
        { dst: tunnelled.dst, metric: 6473, protocol: 139, iface: name, table: 254 },
        { dst: other },
        null,
        null,
      ]);
    });

    test('their routes are not among ours, and found where they overlap', async () => {
      await host.addForeignRoute(cidr('10.5.7.0/24', 'fd00:5:0:7::/64'), 100);
      await host.addForeignRoute(cidr('10.0.0.0/8', 'fd00::/16'), 100);
      await host.addForeignRoute(cidr('10.6.0.0/16', 'fd00:6::/48'), 100);
      await kernel.apply(everything);
      expect(ours(await kernel.read())).toEqual(sameEntries((await kernel.read()).routes));
      const found = await foreign();
      expect(found.map(({ dst }) => dst).sort()).toEqual(
        [cidr('10.0.0.0/8', 'fd00::/16'), cidr('10.5.7.0/24', 'fd00:5:0:7::/64')].sort(),
      );
    });

    test('default routes are listed as they come and go', async () => {
      const everywhere = cidr('0.0.0.0/0', '::/0');
      expect(await kernel.defaultRoutes()).toEqual([]);
      const told = nextEvent(kernel, (event) => event.kind === 'route' && event.dst === everywhere);
      await host.addForeignRoute(everywhere, 100);
      await told;
      expect(await kernel.defaultRoutes()).toMatchObject([{ dst: everywhere, iface: 'eth0', metric: 100 }]);
      const wentDown = nextEvent(kernel, (event) => event.kind === 'link' && event.iface === 'eth0');
      await host.setDown('eth0');
      await wentDown;
      expect(await kernel.defaultRoutes()).toEqual([]);
    });
  });
}

/** In any order. */
function sameEntries(entries: readonly unknown[]): unknown {
  return entries.length === 0
    ? []
    : expect.toSatisfy(
        (found: readonly unknown[]) =>
          found.length === entries.length &&
          entries.every((entry) => found.some((it) => isDeepStrictEqual(it, entry))),
      );
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
