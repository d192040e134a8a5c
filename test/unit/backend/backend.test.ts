import { describe, expect, test } from 'vitest';
import { containerMtu, desired, linkMtus, tunnelled } from '../../../src/backend/backend.ts';
import { vtepMac } from '../../../src/backend/vxlan.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../src/config/network-config.ts';
import { type DesiredState, NOTHING_DESIRED } from '../../../src/dataplane/desired-state.ts';
import { type Cidr, toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import type { ChosenPath, PathKind } from '../../../src/path/candidate.ts';
import type { HostFacts } from '../../../src/path/interface-selection.ts';
import type { Lease } from '../../../src/subnet/lease.ts';
import { type LeaseHost, lease, networkConfig, nodeIdOf, snapshot } from '../../support/leases.ts';

const own: LeaseHost = { number: 1, address: '10.99.1.11' };
const host: HostFacts = { iface: 'eth0', index: 2, address: toIp('10.99.1.11'), address6: null, mtu: 1500 };

/** The first two hosts are on one L2. */
function path(kind: PathKind, mtus: Partial<ChosenPath['mtus']> = {}): ChosenPath {
  return { kind, mtus: { direct: kind === 'direct' ? 1500 : null, vxlan: 1450, ...mtus } };
}

/** Of the main table: the ways of packets. */
function main({ routes }: DesiredState): DesiredState['routes'] {
  return routes.filter(({ table }) => table === 254);
}

const subnetOf = (number: number): Cidr => toCidr(`10.5.${number}.0/24`);

/** Two peers: 2 is direct, 3 is behind vxlan. */
function state(
  backend: object,
  mtus: Partial<ChosenPath['mtus']> = {},
  facts: HostFacts = host,
): DesiredState {
  const hosts = [own, { number: 2, address: '10.99.1.12' }, { number: 3, address: '10.98.0.13' }];
  const paths = new Map([
    [subnetOf(2), path('direct', mtus)],
    [subnetOf(3), path('vxlan', mtus)],
  ]);
  return desired(snapshot(networkConfig(backend), own, hosts), facts, paths);
}

describe('host-gw', () => {
  test('is routes to direct peers, a tunnel to the others, and nothing beyond the network', () => {
    const found = state({ Type: 'host-gw' });
    expect(found.devices).toEqual([
      {
        ...{ name: 'flannel.1', vni: 1, port: 8472, local: '10.99.1.11', mac: vtepMac(nodeIdOf(1)) },
        ...{ mtu: 1450, learning: false, gbp: false },
      },
    ]);
    expect(found.addresses).toEqual([{ iface: 'flannel.1', address: '10.5.1.0/32' }]);
    const direct = { table: 254, type: 'unicast', src: null, mtu: null, metric: 6473 };
    expect(main(found)).toEqual([
      { ...direct, dst: '10.5.2.0/24', via: '10.99.1.12', iface: 'eth0', onlink: false },
      {
        ...direct,
        ...{ dst: '10.5.3.0/24', via: '10.5.3.0', iface: 'flannel.1', onlink: true, src: '10.5.1.0' },
      },
      {
        ...{ table: 254, dst: '10.5.0.0/16', type: 'unreachable', via: null, iface: null, onlink: false },
        ...{ src: null, mtu: null, metric: 4_294_967_295 },
      },
    ]);
  });

  test('has the tunnel to a direct peer ready as well', () => {
    const { neighbours, fdb } = state({ Type: 'host-gw' });
    expect(neighbours).toEqual([
      { iface: 'flannel.1', ip: '10.5.2.0', mac: vtepMac(nodeIdOf(2)) },
      { iface: 'flannel.1', ip: '10.5.3.0', mac: vtepMac(nodeIdOf(3)) },
    ]);
    expect(fdb).toEqual([
      { iface: 'flannel.1', mac: vtepMac(nodeIdOf(2)), dst: '10.99.1.12' },
      { iface: 'flannel.1', mac: vtepMac(nodeIdOf(3)), dst: '10.98.0.13' },
    ]);
  });

  test('leads probes to a peer’s base by each way that there is, and nowhere else', () => {
    const { routes, rules } = state({ Type: 'host-gw' });
    const probes = routes.filter(({ table }) => table !== 254);
    expect(probes.map(({ table, dst, type, via, iface }) => [table, dst, type, via, iface])).toEqual([
      [6473, '10.5.2.0/32', 'unicast', '10.99.1.12', 'eth0'],
      [6474, '10.5.2.0/32', 'unicast', '10.5.2.0', 'flannel.1'],
      [6474, '10.5.3.0/32', 'unicast', '10.5.3.0', 'flannel.1'],
      [6473, '10.5.0.0/16', 'unreachable', null, null],
      [6474, '10.5.0.0/16', 'unreachable', null, null],
    ]);
    expect(probes.map(({ mtu }) => mtu)).toEqual([null, null, null, null, null]);
    const rule = { family: 4, mask: 0x3000_0000 };
    expect(rules).toEqual([
      { ...rule, priority: 6473, mark: 0x1000_0000, table: 6473 },
      { ...rule, priority: 6474, mark: 0x2000_0000, table: 6474 },
    ]);
  });

  test('without a fallback has no device, and its address on lo', () => {
    const found = state({ Type: 'host-gw', Fallback: 'none' }, { vxlan: null });
    const { devices, addresses, neighbours } = found;
    expect([devices, addresses, neighbours]).toEqual([[], [{ iface: 'lo', address: '10.5.1.0/32' }], []]);
    expect(main(found).map(({ dst }) => dst)).toEqual(['10.5.2.0/24', '10.5.0.0/16']);
  });

  test('routes carry what gets through where that is less than the device takes', () => {
    const [direct, tunnel] = main(state({ Type: 'host-gw' }, { direct: 1400, vxlan: 1350 }));
    expect([direct?.mtu, tunnel?.mtu]).toEqual([1400, 1350]);
  });

  test('the links of both ends bound what gets through, less the overhead of the tunnel', () => {
    const { Backend } = networkConfig({ Type: 'host-gw' });
    expect(linkMtus(Backend, 1500, 9000, 4)).toEqual({ direct: 1500, vxlan: 1450 });
    expect(linkMtus(Backend, 9000, 1500, 4)).toEqual({ direct: 1500, vxlan: 1450 });
    expect(linkMtus(Backend, 9000, 9000, 6)).toEqual({ direct: 9000, vxlan: 8930 });
    const narrow = networkConfig({ Type: 'host-gw', MTU: 1400 }).Backend;
    expect(linkMtus(narrow, 1500, 1500, 4)).toEqual({ direct: 1500, vxlan: 1350 });
  });

  test('the outer MTU of the configuration is the tunnel’s alone', () => {
    const { devices, routes } = state({ Type: 'host-gw', MTU: 1400 }, { vxlan: 1350 });
    const found = routes.filter(({ type }) => type === 'unicast').map(({ mtu }) => mtu);
    expect([devices[0]?.mtu, ...new Set(found)]).toEqual([1350, null]);
  });
});

describe('vxlan', () => {
  test('takes VNI, port, MTU, learning and GBP from the configuration', () => {
    const backend = { Type: 'vxlan', VNI: 7, Port: 4789, MTU: 1400, Learning: true, GBP: true };
    expect(state(backend).devices[0]).toMatchObject({
      ...{ name: 'flannel.7', vni: 7, port: 4789, mtu: 1350, learning: true, gbp: true },
    });
  });

  test('sends from the address of the interface, not from the one peers are told', () => {
    expect(state({ Type: 'vxlan' }, {}, { ...host, address: toIp('192.0.2.5') }).devices[0]?.local).toBe(
      '192.0.2.5',
    );
  });

  test('knows no way to a peer that publishes no device', () => {
    const config = networkConfig({ Type: 'vxlan' });
    const plain = lease({ number: 3, address: '10.98.0.13' }, { Type: 'alloc' });
    const leases = { ...snapshot(config, own, []), peers: [plain] };
    const found = desired(leases, host, new Map([[subnetOf(3), path('vxlan')]]));
    expect([found.neighbours, found.fdb, main(found).map(({ type }) => type)]).toEqual([
      [],
      [],
      ['unreachable'],
    ]);
  });

  test('has one FDB entry for a host that holds two leases while it moves', () => {
    const config = networkConfig({ Type: 'vxlan' });
    const peer = lease({ number: 3, address: '10.98.0.13' }, config.Backend);
    const old = { ...lease({ number: 9, address: '10.98.0.13' }, config.Backend), nodeId: peer.nodeId };
    const draining = { ...old, attributes: peer.attributes, state: 'draining' as const };
    const leases = { ...snapshot(config, own, []), peers: [peer, draining] };
    const found = desired(leases, host, new Map([3, 9].map((number) => [subnetOf(number), path('vxlan')])));
    expect(found.fdb).toHaveLength(1);
    expect(found.neighbours.map(({ ip }) => ip)).toEqual(['10.5.3.0', '10.5.9.0']);
  });
});

test('without a lease, and with alloc, nothing is desired', () => {
  const config = networkConfig({ Type: 'host-gw' });
  expect(desired({ ...snapshot(config, own, []), own: null }, host, new Map())).toEqual(NOTHING_DESIRED);
  expect(state({ Type: 'alloc' })).toEqual(NOTHING_DESIRED);
});

test('a peer without a path, or one to which there is no way, gets no route', () => {
  const config = networkConfig({ Type: 'host-gw' });
  const leases = snapshot(config, own, [own, { number: 2, address: '10.99.1.12' }]);
  const none: ChosenPath = { kind: null, mtus: { direct: null, vxlan: null } };
  for (const paths of [new Map(), new Map([[subnetOf(2), none]])])
    expect(main(desired(leases, host, paths)).map(({ type }) => type)).toEqual(['unreachable']);
});

test('containers keep the link’s MTU with host-gw, and get what fits the tunnel with vxlan', () => {
  const mtu = (backend: object, link: number): number => containerMtu(networkConfig(backend), link);
  expect(mtu({ Type: 'host-gw' }, 1500)).toBe(1500);
  expect(mtu({ Type: 'host-gw', MTU: 1400 }, 9000)).toBe(9000);
  expect(mtu({ Type: 'vxlan' }, 1500)).toBe(1450);
  expect(mtu({ Type: 'vxlan', MTU: 1400 }, 1500)).toBe(1350);
  expect(mtu({ Type: 'alloc' }, 1500)).toBe(1500);
});

test('the MAC of a device follows from the node id, unicast and locally administered', () => {
  expect(vtepMac(nodeIdOf(0xff))).toBe('02:00:00:ff:00:00');
  expect(vtepMac(nodeIdOf(0xff))).toBe(vtepMac(nodeIdOf(0xff)));
});

test('which backends have a device', () => {
  const has = (backend: object): boolean => tunnelled(networkConfig(backend).Backend);
  expect(
    [{ Type: 'vxlan' }, { Type: 'host-gw' }, { Type: 'host-gw', Fallback: 'none' }, { Type: 'alloc' }].map(
      has,
    ),
  ).toEqual([true, true, false, false]);
});

describe('a network of both families', () => {
  const attributesOf = (number: number): Partial<Lease['attributes']> => ({
    publicIpv6: toIp(`2001:db8::${number}`),
    backendV6Data: { VNI: 1, VtepMAC: vtepMac(nodeIdOf(number), 6) },
  });
  const leaseOf = (number: number, address: string): Lease => {
    const ipv4 = lease({ number, address }, dual.Backend);
    const ipv6Subnet = toCidr(`fd05:0:0:${number}::/64`);
    return { ...ipv4, ipv6Subnet, attributes: { ...ipv4.attributes, ...attributesOf(number) } };
  };
  const dual = configOf('{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd05::/48"}');
  const both: HostFacts = { ...host, address6: toIp('2001:db8::1') };
  const peers = [leaseOf(2, '10.99.1.12'), leaseOf(3, '10.98.0.13')];
  const stateOf = (own: Lease | null, facts: HostFacts, config = dual): DesiredState => {
    const paths = new Map([
      [toCidr('fd05:0:0:2::/64'), path('direct', { vxlan: 1430 })],
      [toCidr('fd05:0:0:3::/64'), path('vxlan', { vxlan: 1430 })],
    ]);
    return desired({ index: 1, config, own, peers, memberIps: [] }, facts, paths);
  };

  test('has a device, an address and a last resort for each', () => {
    const found = stateOf(leaseOf(1, '10.99.1.11'), both);
    expect(found.devices.map(({ name, local, mtu }) => [name, local, mtu])).toEqual([
      ['flannel.1', '10.99.1.11', 1450],
      ['flannel-v6.1', '2001:db8::1', 1430],
    ]);
    expect(new Set(found.devices.map(({ mac }) => mac)).size).toBe(2);
    expect(found.addresses).toEqual([
      { iface: 'flannel.1', address: '10.5.1.0/32' },
      { iface: 'flannel-v6.1', address: 'fd05:0:0:1::/128' },
    ]);
    const lastResorts = main(found).filter(({ type }) => type === 'unreachable');
    expect(lastResorts.map(({ dst }) => dst)).toEqual(['10.5.0.0/16', 'fd05::/48']);
    expect(found.rules.map(({ family, table }) => [family, table])).toEqual([
      [4, 6473],
      [4, 6474],
      [6, 6473],
      [6, 6474],
    ]);
  });

  test('leads to a peer of IPv6 over its address there, and behind the tunnel over that of its device', () => {
    const found = stateOf(leaseOf(1, '10.99.1.11'), both);
    const unicast = main(found).filter(({ type, dst }) => type === 'unicast' && dst.includes(':'));
    expect(unicast.map(({ dst, via, iface, src }) => [dst, via, iface, src])).toEqual([
      ['fd05:0:0:2::/64', '2001:db8::2', 'eth0', null],
      ['fd05:0:0:3::/64', expect.stringMatching(/^fe80::/), 'flannel-v6.1', 'fd05:0:0:1::'],
    ]);
    expect(found.fdb).toEqual(
      [2, 3].map((number) => ({
        iface: 'flannel-v6.1',
        mac: vtepMac(nodeIdOf(number), 6),
        dst: `2001:db8::${number}`,
      })),
    );
  });

  test('has nothing of IPv4 where the lease has none', () => {
    const { subnet: _, ...rest } = leaseOf(1, '10.99.1.11');
    const found = stateOf({ ...rest, subnet: null }, both);
    expect(found.devices.map(({ name }) => name)).toEqual(['flannel-v6.1']);
    expect(found.routes.filter(({ dst }) => dst.includes('.'))).toEqual([]);
  });

  test('gives containers what fits either tunnel', () => {
    const vxlan = (text: string): number =>
      containerMtu(configOf(`{${text},"Backend":{"Type":"vxlan"}}`), 1500);
    expect(vxlan('"Network":"10.5.0.0/16"')).toBe(1450);
    expect(vxlan('"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd05::/48"')).toBe(1430);
    expect(containerMtu(dual, 1500)).toBe(1500);
  });
});

function configOf(text: string): NetworkConfig {
  const parsed = parseNetworkConfig(text);
  if (!parsed.ok) throw new Error(parsed.refusal.text);
  return parsed.config;
}
