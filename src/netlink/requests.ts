/**
 * What we change: one operation of the data plane to the messages that do it. Pure; interfaces come by a lookup from
 * name to index, and an operation on one that is not there gives null.
 */
import type { FdbEntry, Neighbour, Route, Rule, VxlanDevice } from '../dataplane/desired-state.ts';
import type { ActualFdbEntry, ActualRoute, Op } from '../dataplane/kernel.ts';
import { LOOPBACK_LABEL, LOOPBACK_METRIC, ROUTE_PROTOCOL } from '../dataplane/ownership.ts';
import { cidrBase, cidrFamily, cidrLength } from '../net/cidr.ts';
import { type Family, type Ip, ipFamily, ipToBytes, ipv4Number } from '../net/ip.ts';
import { macToBytes } from '../net/mac.ts';
import type { MessageWriter } from './codec.ts';
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
  NLM_F,
  NTF,
  NUD,
  RT_SCOPE,
  RT_TABLE,
  RTA,
  RTAX,
  RTM,
  RTN,
  RTNH_F,
} from './constants.ts';
import type { Request } from './handle.ts';

export type IndexOf = (iface: string) => number | undefined;

const SET = NLM_F.create | NLM_F.replace;
const ADD = NLM_F.create | NLM_F.exclusive;

/** Null: the interface is not there. */
export function requestsOf(op: Op, indexOf: IndexOf): readonly Request[] | null {
  const on = (iface: string, body: (index: number) => Request): readonly Request[] | null => {
    const index = indexOf(iface);
    return index === undefined ? null : [body(index)];
  };
  const onItsInterface = (
    { iface }: Pick<Route, 'iface'>,
    body: (index: number | null) => Request,
  ): readonly Request[] | null => (iface === null ? [body(null)] : on(iface, body));
  switch (op.kind) {
    case 'device-create':
      return [createDevice(op.device), setUpDevice(op.device, op.alias, false)];
    case 'device-change':
      return [changeVxlan(op.device), setUpDevice(op.device, op.alias, op.setMac)];
    case 'device-delete':
      return [deleteDevice(op.name)];
    case 'address-add': {
      const { iface, address } = op.address;
      return on(iface, (index) => addAddress(index, cidrBase(address), cidrLength(address), op.marked));
    }
    case 'address-delete': {
      const { iface, ip, prefixLength, label } = op.address;
      return on(iface, (index) => deleteAddress(index, ip, prefixLength, label));
    }
    case 'neighbour-set':
      return on(op.neighbour.iface, (index) => setNeighbour(index, op.neighbour));
    case 'neighbour-delete':
      return on(op.neighbour.iface, (index) => deleteNeighbour(index, op.neighbour));
    case 'fdb-set':
      return on(op.entry.iface, (index) => setFdbEntry(index, op.entry));
    case 'fdb-delete':
      return on(op.entry.iface, (index) => deleteFdbEntry(index, op.entry));
    case 'route-add':
      return onItsInterface(op.route, (index) => setRoute(op.route, index, ADD));
    case 'route-replace':
      return onItsInterface(op.route, (index) => setRoute(op.route, index, SET));
    case 'route-delete':
      return onItsInterface(op.route, (index) => deleteRoute(op.route, index));
    case 'rule-add':
      return [addRule(op.rule)];
    case 'rule-delete':
      return [deleteRule(op.rule)];
    case 'broadcast-delete':
      return on(op.broadcast.iface, (index) => deleteBroadcast(op.broadcast.ip, index));
  }
}

/** Down and without its alias, which the kernel does not take here; the message that follows it brings both. */
function createDevice(device: VxlanDevice): Request {
  return {
    type: RTM.newLink,
    flags: ADD,
    write: (writer) => {
      linkHeader(writer, 0);
      writer.attributeText(IFLA.ifname, device.name);
      writer.attribute(IFLA.address, macToBytes(device.mac));
      writer.attributeU32(IFLA.mtu, device.mtu);
      vxlanInfo(writer, device, () => {
        writer.attributeU16be(IFLA_VXLAN.port, device.port);
        if (device.gbp) writer.attribute(IFLA_VXLAN.gbp, NOTHING);
      });
    },
  };
}

function changeVxlan(device: VxlanDevice): Request {
  return {
    type: RTM.newLink,
    flags: 0,
    write: (writer) => {
      linkHeader(writer, 0);
      writer.attributeText(IFLA.ifname, device.name);
      vxlanInfo(writer, device, () => undefined);
    },
  };
}

/** What every interface has. In one message with vxlan's own the kernel refuses a change of the MTU. */
function setUpDevice(device: VxlanDevice, alias: string, setMac: boolean): Request {
  return {
    type: RTM.newLink,
    flags: 0,
    write: (writer) => {
      linkHeader(writer, IFF.up);
      writer.attributeText(IFLA.ifname, device.name);
      if (setMac) writer.attribute(IFLA.address, macToBytes(device.mac));
      writer.attributeU32(IFLA.mtu, device.mtu);
      writer.attributeText(IFLA.ifalias, alias);
    },
  };
}

function deleteDevice(name: string): Request {
  return {
    type: RTM.delLink,
    flags: 0,
    write: (writer) => {
      linkHeader(writer, 0);
      writer.attributeText(IFLA.ifname, name);
    },
  };
}

/** ifinfomsg of an interface that is named by an attribute. */
function linkHeader(writer: MessageWriter, setFlags: number): void {
  writer.zeros(8);
  writer.u32(setFlags);
  writer.u32(setFlags);
}

const NOTHING = new Uint8Array();

function vxlanInfo(writer: MessageWriter, device: VxlanDevice, more: () => void): void {
  writer.nested(IFLA.linkinfo, () => {
    writer.attributeText(IFLA_INFO.kind, 'vxlan');
    writer.nested(IFLA_INFO.data, () => {
      writer.attributeU32(IFLA_VXLAN.id, device.vni);
      const local = ipFamily(device.local) === 4 ? IFLA_VXLAN.local : IFLA_VXLAN.local6;
      attributeIp(writer, local, device.local);
      writer.attributeU8(IFLA_VXLAN.learning, device.learning ? 1 : 0);
      more();
    });
  });
}

function addAddress(index: number, ip: Ip, prefixLength: number, marked: boolean): Request {
  const inet6 = ipFamily(ip) === 6;
  const body = addressBody(index, ip, prefixLength, marked && !inet6 ? LOOPBACK_LABEL : null);
  return {
    type: RTM.newAddress,
    flags: SET,
    write: (writer) => {
      body(writer);
      if (!inet6) return;
      // It is ours alone, and until the kernel had made sure no route could prefer it.
      writer.attributeU32(IFA.flags, IFA_F.noDad);
      if (marked) writer.attributeU32(IFA.metric, LOOPBACK_METRIC);
    },
  };
}

function deleteAddress(index: number, ip: Ip, prefixLength: number, label: string | null): Request {
  return { type: RTM.delAddress, flags: 0, write: addressBody(index, ip, prefixLength, label) };
}

function addressBody(index: number, ip: Ip, prefixLength: number, label: string | null): Request['write'] {
  return (writer) => {
    writer.u8x4(addressFamily(ipFamily(ip)), prefixLength, 0, RT_SCOPE.universe);
    writer.u32(index);
    attributeIp(writer, IFA.local, ip);
    attributeIp(writer, IFA.address, ip);
    if (label !== null) writer.attributeText(IFA.label, label);
  };
}

function setNeighbour(index: number, { ip, mac }: Neighbour): Request {
  return {
    type: RTM.newNeighbour,
    flags: SET,
    write: (writer) => {
      neighbourHeader(writer, addressFamily(ipFamily(ip)), index, 0);
      attributeIp(writer, NDA.dst, ip);
      writer.attribute(NDA.lladdr, macToBytes(mac));
    },
  };
}

function deleteNeighbour(index: number, { ip }: Neighbour): Request {
  return {
    type: RTM.delNeighbour,
    flags: 0,
    write: (writer) => {
      neighbourHeader(writer, addressFamily(ipFamily(ip)), index, 0);
      attributeIp(writer, NDA.dst, ip);
    },
  };
}

function setFdbEntry(index: number, { mac, dst }: FdbEntry): Request {
  return {
    type: RTM.newNeighbour,
    flags: SET,
    write: (writer) => {
      neighbourHeader(writer, AF.bridge, index, NTF.self);
      writer.attribute(NDA.lladdr, macToBytes(mac));
      attributeIp(writer, NDA.dst, dst);
    },
  };
}

/** All destinations of the MAC. */
function deleteFdbEntry(index: number, { mac }: ActualFdbEntry): Request {
  return {
    type: RTM.delNeighbour,
    flags: 0,
    write: (writer) => {
      neighbourHeader(writer, AF.bridge, index, NTF.self);
      writer.attribute(NDA.lladdr, macToBytes(mac));
    },
  };
}

/** ndmsg of a permanent entry. */
function neighbourHeader(writer: MessageWriter, family: number, index: number, flags: number): void {
  writer.u8x4(family, 0, 0, 0);
  writer.u32(index);
  writer.u16u8(NUD.permanent, flags);
}

function setRoute(route: Route, index: number | null, flags: number): Request {
  return {
    type: RTM.newRoute,
    flags,
    write: (writer) => {
      const { table, dst, via, src, mtu } = route;
      const type = route.type === 'unicast' ? RTN.unicast : RTN.unreachable;
      const family = addressFamily(cidrFamily(dst));
      writer.u8x4(family, cidrLength(dst), 0, 0);
      writer.u8x4(0, ROUTE_PROTOCOL, RT_SCOPE.universe, type);
      writer.u32(route.onlink ? RTNH_F.onlink : 0);
      routeKey(writer, table, cidrBase(dst), route.metric, index, via);
      if (src !== null) attributeIp(writer, RTA.prefsrc, src);
      if (mtu !== null) writer.nested(RTA.metrics, () => writer.attributeU32(RTAX.mtu, mtu));
    },
  };
}

/** Ours alone: the kernel compares the protocol here. */
function deleteRoute({ table, dst, metric, type, via }: ActualRoute, index: number | null): Request {
  return {
    type: RTM.delRoute,
    flags: 0,
    write: (writer) => {
      const kind = { unicast: RTN.unicast, unreachable: RTN.unreachable, other: RTN.unspec }[type];
      const family = addressFamily(cidrFamily(dst));
      writer.u8x4(family, cidrLength(dst), 0, 0);
      writer.u8x4(0, ROUTE_PROTOCOL, RT_SCOPE.nowhere, kind);
      writer.u32(0);
      routeKey(writer, table, cidrBase(dst), metric, index, via);
    },
  };
}

function addRule(rule: Rule): Request {
  return { type: RTM.newRule, flags: ADD, write: ruleBody(rule) };
}

/** Ours alone: the kernel compares the protocol here. */
function deleteRule(rule: Rule): Request {
  return { type: RTM.delRule, flags: 0, write: ruleBody(rule) };
}

function ruleBody({ family, priority, mark, mask, table }: Rule): Request['write'] {
  return (writer) => {
    writer.u8x4(addressFamily(family), 0, 0, 0);
    writer.u8x4(0, 0, 0, FR_ACT.toTable);
    writer.u32(0);
    writer.attributeU32(FRA.priority, priority);
    writer.attributeU32(FRA.mark, mark);
    writer.attributeU32(FRA.mask, mask);
    writer.attributeU32(FRA.table, table);
    writer.attributeU8(FRA.protocol, ROUTE_PROTOCOL);
  };
}

function deleteBroadcast(ip: Ip, index: number): Request {
  return {
    type: RTM.delRoute,
    flags: 0,
    write: (writer) => {
      writer.u8x4(AF.inet, 32, 0, 0);
      writer.u8x4(0, 0, RT_SCOPE.nowhere, RTN.broadcast);
      writer.u32(0);
      routeKey(writer, RT_TABLE.local, ip, 0, index, null);
    },
  };
}

/** The table as an attribute: the header's field has room for 255. */
function routeKey(
  writer: MessageWriter,
  table: number,
  dst: Ip,
  metric: number,
  index: number | null,
  via: Ip | null,
): void {
  writer.attributeU32(RTA.table, table);
  attributeIp(writer, RTA.dst, dst);
  writer.attributeU32(RTA.priority, metric);
  if (index !== null) writer.attributeU32(RTA.oif, index);
  if (via !== null) attributeIp(writer, RTA.gateway, via);
}

/** Network order. */
function attributeIp(writer: MessageWriter, type: number, ip: Ip): void {
  if (ipFamily(ip) === 4) writer.attributeU32be(type, ipv4Number(ip));
  else writer.attribute(type, ipToBytes(ip));
}

function addressFamily(family: Family): number {
  return family === 4 ? AF.inet : AF.inet6;
}
