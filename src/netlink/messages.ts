/**
 * What we read: links, addresses, routes and neighbours, from a message's payload to plain values. Each reads only the
 * attributes it names, and throws on one that is not of the form we know. Interfaces are indexes here; names are the
 * caller's.
 */
import { getU8, getU16be, getU32, readU16, readU32 } from 'netlink/dist/structs.js';
import { type Cidr, cidrOf } from '../net/cidr.ts';
import { type Ip, ipFromBytes, toIp } from '../net/ip.ts';
import type { Link, LinkAddress, VxlanParameters } from '../net/link.ts';
import { type Mac, macFromBytes } from '../net/mac.ts';
import { type Attributes, attributes, textOf } from './codec.ts';
import { AF, IFA, IFA_F, IFF, IFLA, IFLA_INFO, IFLA_VXLAN, NDA, RT_SCOPE, RTA, RTAX } from './constants.ts';

export const LINK_BYTES = 16;
export const ADDRESS_BYTES = 8;
export const ROUTE_BYTES = 12;
export const NEIGHBOUR_BYTES = 12;

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
    scope: scope === RT_SCOPE.host ? 'host' : scope === RT_SCOPE.link ? 'link' : 'global',
    permanent: (flags & IFA_F.permanent) !== 0,
    deprecated: (flags & IFA_F.deprecated) !== 0,
    temporary: (flags & IFA_F.temporary) !== 0,
  };
}

export interface RouteMessage {
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
  /** Has one next hop, and of metrics the MTU alone. */
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
  return {
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
    plain: !more && tos === 0 && metrics.size === (metrics.has(RTAX.mtu) ? 1 : 0),
  };
}

const ANY_IPV4 = toIp('0.0.0.0');
const ANY_IPV6 = toIp('::');

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
