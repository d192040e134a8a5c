/** The kernel's numbers, under the kernel's names (linux/netlink.h, rtnetlink.h, if_link.h, neighbour.h). Only those we use. */

export const NLMSG = { error: 2, done: 3 } as const;
export const NLM_F = {
  request: 0x1,
  ack: 0x4,
  dumpInterrupted: 0x10,
  /** For new: */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  /** For get: root | match. */
  dump: 0x300,
  /** For errors: */
  capped: 0x100,
  ackTlvs: 0x200,
} as const;

export const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  delNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  delRule: 33,
  getRule: 34,
} as const;

export const AF = { unspec: 0, inet: 2, bridge: 7, inet6: 10 } as const;

/** Multicast groups. */
export const RTNLGRP = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv4Rule: 8,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv6Rule: 19,
} as const;

export const IFF = { up: 0x1, loopback: 0x8 } as const;
export const IFLA = { address: 1, ifname: 3, mtu: 4, linkinfo: 18, ifalias: 20, extMask: 29 } as const;
export const RTEXT_FILTER = { skipStats: 0x8 } as const;
export const IFLA_INFO = { kind: 1, data: 2 } as const;
export const IFLA_VXLAN = {
  id: 1,
  group: 2,
  link: 3,
  local: 4,
  learning: 7,
  port: 15,
  group6: 16,
  local6: 17,
  gbp: 23,
  collectMetadata: 25,
  gpe: 27,
} as const;

export const IFA = { address: 1, local: 2, label: 3, flags: 8, metric: 9 } as const;
export const IFA_F = {
  temporary: 0x01,
  noDad: 0x02,
  optimistic: 0x04,
  dadFailed: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
} as const;

export const RTA = {
  dst: 1,
  oif: 4,
  gateway: 5,
  priority: 6,
  prefsrc: 7,
  metrics: 8,
  multipath: 9,
  cacheInfo: 12,
  table: 15,
  via: 18,
  encap: 22,
  nhId: 30,
} as const;
export const RTAX = { mtu: 2 } as const;
export const RTN = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
export const RT_SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;
export const RT_TABLE = { main: 254, local: 255 } as const;
export const RTNH_F = { onlink: 0x4 } as const;
/** For get: tell of the table's entry, not of the way that follows from it. */
export const RTM_F = { lookupTable: 0x1000, fibMatch: 0x2000 } as const;

export const FRA = {
  dst: 1,
  iifName: 3,
  goto: 4,
  priority: 6,
  mark: 10,
  tunnel: 12,
  suppressInterfaceGroup: 13,
  suppressPrefixLength: 14,
  table: 15,
  mask: 16,
  oifName: 17,
  l3mdev: 19,
  uidRange: 20,
  protocol: 21,
  ipProtocol: 22,
  sourcePort: 23,
  destinationPort: 24,
} as const;
export const FR_ACT = { toTable: 1 } as const;

export const NDA = { dst: 1, lladdr: 2, vlan: 5, port: 6, vni: 7, ifindex: 8 } as const;
export const NTF = { self: 0x2 } as const;
export const NUD = {
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  noarp: 0x40,
  permanent: 0x80,
} as const;
