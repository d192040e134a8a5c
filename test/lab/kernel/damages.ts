/**
 * What others do to the data plane of a host, by accident or as their trade: one entry a damage. Those made of
 * operations happen in the test's own process and say to the microsecond when; the others are commands of a user.
 */
import type { DesiredState, Route } from '../../../src/dataplane/desired-state.ts';
import type { ActualState, Op } from '../../../src/dataplane/kernel.ts';
import { aliasOf, isOurRoute, MAIN_TABLE } from '../../../src/dataplane/ownership.ts';
import { cidrFamily } from '../../../src/net/cidr.ts';
import { type Family, ipFamily } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { addressOf, deviceName, FAMILIES, NODE_ID } from '../../support/dual-stack.ts';

export interface Damage {
  readonly what: string;
  readonly ops?: (desired: DesiredState, actual: ActualState) => readonly Op[];
  /** For `ip`. */
  readonly commands?: readonly string[];
}

/** What the host has that is not ours, and that the damages below take along and bring back. */
export const EXTERNAL: readonly string[] = [
  'address add 10.99.1.11/24 dev eth0',
  'address add fd00:99:1::11/64 dev eth0 nodad',
  'link set peer0 up',
  'link set eth0 up',
];
export const FOREIGN_ROUTES: readonly string[] = [
  'route add 203.0.113.0/24 dev other0 proto static',
  'route add 10.5.2.0/24 dev other0 proto bgp metric 9000',
  'route add 198.51.100.0/24 dev other0 proto 139 metric 77',
  'route add 2001:db8::/48 dev other0 proto static',
];

const OTHER_MAC = localMac(Uint8Array.of(2, 9, 9, 9, 9, 9));

function first<T>(entries: readonly T[], is: (entry: T) => boolean): readonly T[] {
  const found = entries.find(is);
  if (found === undefined) throw new Error('there is none to damage');
  return [found];
}

type Place = Pick<Route, 'dst' | 'iface' | 'table'>;

function direct(family: Family): (route: Place) => boolean {
  return ({ dst, iface, table }) => cidrFamily(dst) === family && iface === 'eth0' && table === MAIN_TABLE;
}

function tunnelled(family: Family): (route: Place) => boolean {
  return ({ dst, iface, table }) =>
    cidrFamily(dst) === family && iface === deviceName(family) && table === MAIN_TABLE;
}

function damagesOf(family: Family): readonly Damage[] {
  const name = deviceName(family);
  const ofFamily = ({ dst }: Place): boolean => cidrFamily(dst) === family;
  const change = (is: object): Damage['ops'] => {
    return ({ devices }) =>
      first(devices, (device) => device.name === name).map((device) => ({
        kind: 'device-change',
        device: { ...device, ...is },
        alias: aliasOf(NODE_ID),
        setMac: 'mac' in is,
      }));
  };
  const ops: readonly (readonly [string, Damage['ops']])[] = [
    [
      'all our routes are deleted',
      (_, { routes }) =>
        routes
          .filter((route) => isOurRoute(route) && ofFamily(route))
          .map((route) => ({ kind: 'route-delete', route })),
    ],
    [
      'a direct route is deleted',
      (_, { routes }) => first(routes, direct(family)).map((route) => ({ kind: 'route-delete', route })),
    ],
    [
      'a tunnelled route is deleted',
      (_, { routes }) => first(routes, tunnelled(family)).map((route) => ({ kind: 'route-delete', route })),
    ],
    [
      'a direct route is led elsewhere',
      ({ routes }) =>
        first(routes, direct(family)).map((route) => ({
          kind: 'route-replace',
          route: { ...route, via: addressOf(family, 99) },
        })),
    ],
    [
      'a probe route is deleted',
      (_, { routes }) =>
        first(routes, (it) => ofFamily(it) && it.table !== MAIN_TABLE).map((route) => ({
          kind: 'route-delete',
          route,
        })),
    ],
    [
      'a rule is deleted',
      (_, { rules }) =>
        first(rules, (rule) => rule.family === family).map((rule) => ({ kind: 'rule-delete', rule })),
    ],
    ['the device is deleted', () => [{ kind: 'device-delete', name }]],
    ['the MAC of the device is changed', change({ mac: OTHER_MAC })],
    ['the MTU of the device is changed', change({ mtu: 1300 })],
    ['learning is switched on', change({ learning: true })],
    ['the local address of the device is changed', change({ local: addressOf(family, 77) })],
    [
      'the address of the device is deleted',
      (_, { addresses }) =>
        first(
          addresses,
          ({ iface, ip, scope }) => iface === name && ipFamily(ip) === family && scope === 'global',
        ).map((address) => ({ kind: 'address-delete', address })),
    ],
    [
      'a neighbour is deleted',
      ({ neighbours }) =>
        first(neighbours, ({ iface }) => iface === name).map((neighbour) => ({
          kind: 'neighbour-delete',
          neighbour,
        })),
    ],
    [
      'a neighbour gets another MAC',
      ({ neighbours }) =>
        first(neighbours, ({ iface }) => iface === name).map((neighbour) => ({
          kind: 'neighbour-set',
          neighbour: { ...neighbour, mac: OTHER_MAC },
        })),
    ],
    [
      'an FDB entry is deleted',
      ({ fdb }) => first(fdb, ({ iface }) => iface === name).map((entry) => ({ kind: 'fdb-delete', entry })),
    ],
    [
      'an FDB entry leads elsewhere',
      ({ fdb }) =>
        first(fdb, ({ iface }) => iface === name).map((entry) => ({
          kind: 'fdb-set',
          entry: { ...entry, dst: addressOf(family, 99) },
        })),
    ],
  ];
  const commands: readonly (readonly [string, readonly string[]])[] = [
    ['routes of our protocol are flushed', [`-${family} route flush proto 139 metric 6473`]],
    ['neighbours are flushed', [`-${family} neigh flush dev ${name} nud permanent`]],
    ['the device is set down', [`link set ${name} down`]],
    ['the device is set down and up', [`link set ${name} down`, `link set ${name} up`]],
    ['the device is renamed', [`link set ${name} name renamed0`]],
  ];
  return [
    ...ops.map(
      ([what, run]): Damage => ({
        what: `IPv${family}: ${what}`,
        ...(run === undefined ? {} : { ops: run }),
      }),
    ),
    ...commands.map(([what, lines]): Damage => ({ what: `IPv${family}: ${what}`, commands: lines })),
  ];
}

export const damages: readonly Damage[] = [
  ...FAMILIES.flatMap(damagesOf),
  { what: 'the interface goes down and up', commands: ['link set eth0 down', ...EXTERNAL.slice(1)] },
  {
    what: 'the interface is deleted and made again',
    commands: ['link delete eth0', 'link add eth0 type veth peer name peer0', ...EXTERNAL],
  },
  {
    what: 'the interface loses and gets its addresses',
    commands: ['address flush dev eth0', ...EXTERNAL.slice(0, 2)],
  },
  {
    what: 'a DHCP client gets another address and then the old one',
    commands: [
      'address delete 10.99.1.11/24 dev eth0',
      'address add 10.99.1.200/24 dev eth0 valid_lft 600 preferred_lft 600',
      'address delete 10.99.1.200/24 dev eth0',
      'address add 10.99.1.11/24 dev eth0 valid_lft 600 preferred_lft 600',
    ],
  },
  {
    what: 'the main table is flushed',
    commands: [
      '-4 route flush table main',
      'route add 10.99.1.0/24 dev eth0 proto kernel scope link src 10.99.1.11',
      ...FOREIGN_ROUTES.slice(0, 3),
    ],
  },
];
