/**
 * A lease: which node owns which subnet, and what its peers need to reach it. Plain data, replicated through the log;
 * only the state machine makes or changes one.
 */
import type { Brand } from '../net/brand.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';

/** First 128 bits of SHA-256 of the node's identity public key (SPKI DER), 32 hex digits. For life. */
export type NodeId = Brand<string, 'NodeId'>;

/** Milliseconds of cluster time: advanced by the leader's monotonic clock, stamped into every command. */
export type ClusterTime = Brand<number, 'ClusterTime'>;

export function toNodeId(text: string): NodeId {
  if (!/^[0-9a-f]{32}$/.test(text)) throw new TypeError(`not a node id: ${text}`);
  return text as NodeId;
}

export function toClusterTime(ms: number): ClusterTime {
  if (!Number.isSafeInteger(ms) || ms < 0) throw new RangeError(`cluster time out of range: ${ms}`);
  return ms as ClusterTime;
}

/** flannel's key names, as published in its BackendData. */
export interface VxlanData {
  readonly VNI: number;
  readonly VtepMAC: Mac;
}

/** What the owner says of itself; it may change while the subnet stays. */
export interface LeaseAttributes {
  /** Where peers send to: the next hop on one L2, the outer destination of vxlan. Null in a network without IPv4. */
  readonly publicIp: Ip | null;
  /** The same for the IPv6 network; null in a network without one. */
  readonly publicIpv6: Ip | null;
  /** The IPv4 address on the interface itself; differs from publicIp behind NAT. */
  readonly interfaceIp: Ip | null;
  readonly linkMtu: number;
  readonly backendType: 'host-gw' | 'vxlan' | 'alloc';
  /** The device that carries IPv4; null only where there is none. */
  readonly backendData: VxlanData | null;
  /** The device that carries IPv6. Left out where there is none: then a lease reads as it did before IPv6. */
  readonly backendV6Data?: VxlanData;
}

/** `absent`: its lifetime ended without renewal; still owned and routed. `draining`: moved away from, still routed. */
export type LeaseState = 'active' | 'absent' | 'draining';

/** Of one subnet in each family of the network. */
export interface Lease {
  /** Null in a network without IPv4, and where only the IPv6 subnet is still to be drained. */
  readonly subnet: Cidr | null;
  /** Null in a network without IPv6. Never null together with `subnet`. */
  readonly ipv6Subnet: Cidr | null;
  readonly nodeId: NodeId;
  readonly attributes: LeaseAttributes;
  readonly state: LeaseState;
  readonly expiresAt: ClusterTime;
}

/** One family of a lease: where its containers are, where packets for them go, and the device behind the tunnel. */
export interface LeaseSide {
  readonly family: Family;
  readonly subnet: Cidr;
  readonly publicIp: Ip;
  readonly vxlan: VxlanData | null;
}

/** Null where the lease has no subnet of the family, or its owner no address that it could be reached by. */
export function leaseSide({ subnet, ipv6Subnet, attributes }: Lease, family: Family): LeaseSide | null {
  const { publicIp, publicIpv6, backendData, backendV6Data } = attributes;
  if (family === 4) return subnet && publicIp && { family, subnet, publicIp, vxlan: backendData };
  return (
    ipv6Subnet &&
    publicIpv6 && { family, subnet: ipv6Subnet, publicIp: publicIpv6, vxlan: backendV6Data ?? null }
  );
}

/** The subnet of one family. */
export function subnetOf(lease: Pick<Lease, 'subnet' | 'ipv6Subnet'>, family: Family): Cidr | null {
  return family === 4 ? lease.subnet : lease.ipv6Subnet;
}

/** IPv4 first. */
export function subnetsOf({ subnet, ipv6Subnet }: Pick<Lease, 'subnet' | 'ipv6Subnet'>): readonly Cidr[] {
  return [subnet, ipv6Subnet].filter((one) => one !== null);
}

/** What a lease is known by, in the state and in commands: its first subnet, which no other lease has. */
export function leaseKey(lease: Pick<Lease, 'subnet' | 'ipv6Subnet'>): Cidr {
  const key = lease.subnet ?? lease.ipv6Subnet;
  if (key === null) throw new TypeError('a lease without a subnet');
  return key;
}

/** Everything the data plane of one host needs to know, whole. Replaced, never patched. */
export interface LeaseSnapshot<Config> {
  /** Log index it was taken at. */
  readonly index: number;
  readonly config: Config;
  readonly own: Lease | null;
  readonly peers: readonly Lease[];
  /** Public addresses of all members in both families, this host's included: who may send vxlan to us. */
  readonly memberIps: readonly Ip[];
}
