import { describe, expect, test } from 'vitest';
import { containerMtu, desired, tunnelled } from '../../../src/backend/backend.ts';
import { vtepMac } from '../../../src/backend/vxlan.ts';
import { type DesiredState, NOTHING_DESIRED } from '../../../src/dataplane/desired-state.ts';
import { toIp } from '../../../src/net/ip.ts';
import type { HostFacts } from '../../../src/path/interface-selection.ts';
import type { ChosenPath } from '../../../src/path/selection.ts';
import { type LeaseHost, lease, networkConfig, nodeIdOf, snapshot } from '../../support/leases.ts';

const own: LeaseHost = { number: 1, address: '10.99.1.11' };
const host: HostFacts = { iface: 'eth0', index: 2, address: toIp('10.99.1.11'), address6: null, mtu: 1500 };

function path(kind: ChosenPath['kind']): ChosenPath {
  return { kind, reason: null, directPossible: kind === 'direct' };
}

/** Two peers: 2 is direct, 3 is behind vxlan. */
function state(backend: object, second: Partial<LeaseHost> = {}, facts: HostFacts = host): DesiredState {
  const hosts = [
    own,
    { number: 2, address: '10.99.1.12', ...second },
    { number: 3, address: '10.98.0.13', ...second },
  ];
  const paths = new Map([
    [nodeIdOf(2), path('direct')],
    [nodeIdOf(3), path('vxlan')],
  ]);
  return desired(snapshot(networkConfig(backend), own, hosts), facts, paths);
}

describe('host-gw', () => {
  test('is routes to direct peers, a tunnel to the others, and nothing beyond the network', () => {
    expect(state({ Type: 'host-gw' })).toEqual({
      devices: [
        {
          ...{ name: 'flannel.1', vni: 1, port: 8472, local: '10.99.1.11', mac: vtepMac(nodeIdOf(1)) },
          ...{ mtu: 1450, learning: false, gbp: false },
        },
      ],
      rules: [],
      addresses: [{ iface: 'flannel.1', address: '10.5.1.0/32' }],
      neighbours: [{ iface: 'flannel.1', ip: '10.5.3.0', mac: vtepMac(nodeIdOf(3)) }],
      fdb: [{ iface: 'flannel.1', mac: vtepMac(nodeIdOf(3)), dst: '10.98.0.13' }],
      routes: [
        {
          ...{
            table: 254,
            dst: '10.5.2.0/24',
            type: 'unicast',
            via: '10.99.1.12',
            iface: 'eth0',
            onlink: false,
          },
          ...{ src: null, mtu: null, metric: 6473 },
        },
        {
          ...{
            table: 254,
            dst: '10.5.3.0/24',
            type: 'unicast',
            via: '10.5.3.0',
            iface: 'flannel.1',
            onlink: true,
          },
          ...{ src: '10.5.1.0', mtu: null, metric: 6473 },
        },
        {
          ...{ table: 254, dst: '10.5.0.0/16', type: 'unreachable', via: null, iface: null, onlink: false },
          ...{ src: null, mtu: null, metric: 4_294_967_295 },
        },
      ],
    });
  });

  test('without a fallback has no device, and its address on lo', () => {
    const { devices, addresses, routes, neighbours } = state({ Type: 'host-gw', Fallback: 'none' });
    expect([devices, addresses, neighbours]).toEqual([[], [{ iface: 'lo', address: '10.5.1.0/32' }], []]);
    expect(routes.map(({ dst }) => dst)).toEqual(['10.5.2.0/24', '10.5.0.0/16']);
  });

  test('routes carry the MTU of a peer whose link takes less than ours', () => {
    const [direct, tunnel] = state({ Type: 'host-gw' }, { linkMtu: 1400 }).routes;
    expect([direct?.mtu, tunnel?.mtu]).toEqual([1400, 1350]);
    const [same, sameTunnel] = state({ Type: 'host-gw' }, { linkMtu: 9000 }).routes;
    expect([same?.mtu, sameTunnel?.mtu]).toEqual([null, null]);
  });

  test('the outer MTU of the configuration is the tunnel’s alone', () => {
    const { devices, routes } = state({ Type: 'host-gw', MTU: 1400 });
    expect([devices[0]?.mtu, routes[0]?.mtu, routes[1]?.mtu]).toEqual([1350, null, null]);
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
    const found = desired(leases, host, new Map([[nodeIdOf(3), path('vxlan')]]));
    expect([found.neighbours, found.fdb, found.routes.map(({ type }) => type)]).toEqual([
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
    const found = desired(leases, host, new Map([[peer.nodeId, path('vxlan')]]));
    expect(found.fdb).toHaveLength(1);
    expect(found.neighbours.map(({ ip }) => ip)).toEqual(['10.5.3.0', '10.5.9.0']);
  });
});

test('without a lease, and with alloc, nothing is desired', () => {
  const config = networkConfig({ Type: 'host-gw' });
  expect(desired({ ...snapshot(config, own, []), own: null }, host, new Map())).toEqual(NOTHING_DESIRED);
  expect(state({ Type: 'alloc' })).toEqual(NOTHING_DESIRED);
});

test('a peer without a path, or one that is down, gets no route', () => {
  const config = networkConfig({ Type: 'host-gw' });
  const leases = snapshot(config, own, [own, { number: 2, address: '10.99.1.12' }]);
  for (const paths of [new Map(), new Map([[nodeIdOf(2), path('down')]])])
    expect(desired(leases, host, paths).routes.map(({ type }) => type)).toEqual(['unreachable']);
});

test('containers keep the link’s MTU with host-gw, and get what fits the tunnel with vxlan', () => {
  const mtu = (backend: object, link: number): number => containerMtu(networkConfig(backend).Backend, link);
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
