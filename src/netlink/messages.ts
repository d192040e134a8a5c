/**
 * What we read: links, addresses, routes, rules and neighbours, from a message's payload to plain values. Each reads only the
 * attributes it names, and throws on one that is not of the form we know. Interfaces are indexes here; names are the
 * caller's.
 */
import { getU8, getU16be, getU32, readU16, readU32 } from 'netlink/dist/structs.js';
import type { ActualRule } from '../dataplane/kernel.ts';
import { type Cidr, cidrOf } from '../net/cidr.ts';
import { type Family, type Ip, ipFromBytes, toIp } from '../net/ip.ts';
import type { Link, LinkAddress, VxlanParameters } from '../net/link.ts';
import { type Mac, macFromBytes } from '../net/mac.ts';
import { type Attributes, attributes, textOf } from './codec.ts';
import {
  AF,
  FR_ACT,
  FRA,
  IFA,
  IFA_F,
  IFF,
  IFLA,
  IFLA_INFO,
  IFLA_VXLAN,
  NDA,
  RT_SCOPE,
  RTA,
  RTAX,
} from './constants.ts';

export const LINK_BYTES = 16;
export const ADDRESS_BYTES = 8;
export const ROUTE_BYTES = 12;
export const NEIGHBOUR_BYTES = 12;
export const RULE_BYTES = 12;

export function decodeLink(data: Buffer): Link {
  const flags = u32(data, 8);
  const found = attributes(data, LINK_BYTES);
  const info = nested(found, IFLA.linkinfo);
  const kind = text(info, IFLA_INFO.kind);
  const mac = found.get(IFLA.address);
  return {
    index: u32(data, 4),
    name: text(found, IFLA.ifname) ?? '',
    kind,
    alias: text(found, IFLA.ifalias),
    mac: mac?.length === 6 ? macFromBytes(mac) : null,
    mtu: number(found, IFLA.mtu) ?? 0,
    up: (flags & IFF.up) !== 0,
    loopback: (flags & IFF.loopback) !== 0,
    vxlan: kind === 'vxlan' ? vxlanParameters(nested(info, IFLA_INFO.data)) : null,
  };
}

function vxlanParameters(found: Attributes): VxlanParameters {
  const foreign =
    [IFLA_VXLAN.group, IFLA_VXLAN.group6, IFLA_VXLAN.gpe].some((type) => found.has(type)) ||
    (number(found, IFLA_VXLAN.link) ?? 0) !== 0 ||
    byte(found, IFLA_VXLAN.collectMetadata) === 1;
  const port = found.get(IFLA_VXLAN.port);
  return {
    vni: number(found, IFLA_VXLAN.id) ?? 0,
    port: port === undefined ? 0 : getU16be(port),
    local: address(found, IFLA_VXLAN.local) ?? address(found, IFLA_VXLAN.local6),
    learning: byte(found, IFLA_VXLAN.learning) === 1,
    gbp: found.has(IFLA_VXLAN.gbp),
    plain: !foreign,
  };
}

export interface IndexedAddress extends Omit<LinkAddress, 'iface'> {
  readonly index: number;
}

/** Null for families other than IPv4 and IPv6. */
export function decodeAddress(data: Buffer): IndexedAddress | null {
  const found = attributes(data, ADDRESS_BYTES);
  // On a point-to-point link `address` is the other end.
  const ip = address(found, IFA.local) ?? address(found, IFA.address);
  if (ip === null || !isInternet(data)) return null;
  const scope = u8(data, 3);
  const flags = number(found, IFA.flags) ?? u8(data, 2);
  return {
    index: u32(data, 4),
    ip,
    prefixLength: u8(data, 1),
    label: text(found, IFA.label),
    metric: number(found, IFA.metric) ?? 0,
    scope: scope === RT_SCOPE.host ? 'host' : scope === RT_SCOPE.link ? 'link' : 'global',
    permanent: (flags & IFA_F.permanent) !== 0,
    deprecated: (flags & IFA_F.deprecated) !== 0,
    temporary: (flags & IFA_F.temporary) !== 0,
    tentative: isTentative(flags),
  };
}

/** An optimistic address may be used while it is looked whether somebody else has it. */
function isTentative(flags: number): boolean {
  const isLookedFor = (flags & IFA_F.tentative) !== 0 && (flags & IFA_F.optimistic) === 0;
  return isLookedFor || (flags & IFA_F.dadFailed) !== 0;
}

export interface RouteMessage {
  readonly family: Family;
  readonly table: number;
  readonly protocol: number;
  readonly type: number;
  readonly flags: number;
  readonly dst: Cidr;
  readonly gateway: Ip | null;
  readonly index: number | null;
  readonly src: Ip | null;
  readonly metric: number;
  readonly mtu: number | null;
  /** Has one next hop, of metrics the MTU alone, and no end. */
  readonly plain: boolean;
}

/** Null for families other than IPv4 and IPv6. */
export function decodeRoute(data: Buffer): RouteMessage | null {
  if (!isInternet(data)) return null;
  const found = attributes(data, ROUTE_BYTES);
  const metrics = nested(found, RTA.metrics);
  const dst = address(found, RTA.dst) ?? (u8(data, 0) === AF.inet ? ANY_IPV4 : ANY_IPV6);
  const more = [RTA.multipath, RTA.via, RTA.encap, RTA.nhId].some((type) => found.has(type));
  const tos = u8(data, 3);
  // What asks for a source prefix, or comes from a router's announcement with an end to it.
  const special = u8(data, 2) !== 0 || tos !== 0 || expires(found.get(RTA.cacheInfo));
  return {
    family: u8(data, 0) === AF.inet ? 4 : 6,
    table: number(found, RTA.table) ?? u8(data, 4),
    protocol: u8(data, 5),
    type: u8(data, 7),
    flags: u32(data, 8),
    dst: cidrOf(dst, u8(data, 1)),
    gateway: address(found, RTA.gateway),
    index: number(found, RTA.oif),
    src: address(found, RTA.prefsrc),
    metric: number(found, RTA.priority) ?? 0,
    mtu: number(metrics, RTAX.mtu),
    plain: !more && !special && metrics.size === (metrics.has(RTAX.mtu) ? 1 : 0),
  };
}

/** rta_cacheinfo; 0 is never. */
function expires(cacheInfo: Buffer | undefined): boolean {
  return cacheInfo !== undefined && u32(cacheInfo, 8) !== 0;
}

const ANY_IPV4 = toIp('0.0.0.0');
const ANY_IPV6 = toIp('::');

/** Null for families other than IPv4 and IPv6. */
export function decodeRule(data: Buffer): ActualRule | null {
  if (!isInternet(data)) return null;
  const found = attributes(data, RULE_BYTES);
  const selects = [u8(data, 1), u8(data, 2), u8(data, 3)].some((value) => value !== 0);
  const suppress = number(found, FRA.suppressPrefixLength) ?? NO_PREFIX;
  return {
    family: u8(data, 0) === AF.inet ? 4 : 6,
    priority: number(found, FRA.priority) ?? 0,
    mark: number(found, FRA.mark) ?? 0,
    mask: number(found, FRA.mask) ?? 0,
    table: number(found, FRA.table) ?? u8(data, 4),
    protocol: byte(found, FRA.protocol) ?? 0,
    plain:
      !selects &&
      u8(data, 7) === FR_ACT.toTable &&
      (u32(data, 8) & FIB_RULE_INVERT) === 0 &&
      suppress === NO_PREFIX &&
      !OTHER_SELECTORS.some((type) => found.has(type)),
  };
}

const FIB_RULE_INVERT = 0x2;
const NO_PREFIX = 0xffff_ffff;
const OTHER_SELECTORS = [
  ...[FRA.dst, FRA.iifName, FRA.goto, FRA.tunnel, FRA.suppressInterfaceGroup, FRA.oifName, FRA.l3mdev],
  ...[FRA.uidRange, FRA.ipProtocol, FRA.sourcePort, FRA.destinationPort],
];

export interface NeighbourMessage {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
  readonly ip: Ip | null;
  readonly mac: Mac | null;
  /** False for an FDB entry that says more than where: another port, VNI, VLAN or interface. */
  readonly plain: boolean;
}

export function decodeNeighbour(data: Buffer): NeighbourMessage {
  const found = attributes(data, NEIGHBOUR_BYTES);
  const mac = found.get(NDA.lladdr);
  return {
    family: u8(data, 0),
    index: u32(data, 4),
    state: readU16.call(data, 8),
    flags: u8(data, 10),
    ip: address(found, NDA.dst),
    mac: mac?.length === 6 ? macFromBytes(mac) : null,
    plain: ![NDA.port, NDA.vni, NDA.vlan, NDA.ifindex].some((type) => found.has(type)),
  };
}

function isInternet(data: Buffer): boolean {
  const family = u8(data, 0);
  return family === AF.inet || family === AF.inet6;
}

function u8(data: Buffer, offset: number): number {
  return data.readUInt8(offset);
}

function u32(data: Buffer, offset: number): number {
  return readU32.call(data, offset);
}

function nested(found: Attributes, type: number): Attributes {
  return attributes(found.get(type) ?? NOTHING);
}

const NOTHING = Buffer.alloc(0);

function text(found: Attributes, type: number): string | null {
  const data = found.get(type);
  return data === undefined ? null : textOf(data);
}

function number(found: Attributes, type: number): number | null {
  const data = found.get(type);
  return data === undefined ? null : getU32(data);
}

function byte(found: Attributes, type: number): number | null {
  const data = found.get(type);
  return data === undefined ? null : getU8(data);
}

function address(found: Attributes, type: number): Ip | null {
  const data = found.get(type);
  return data === undefined ? null : ipFromBytes(data);
}
