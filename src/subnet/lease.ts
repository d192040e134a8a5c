/**
 * A lease: which node owns which subnet, and what its peers need to reach it. Plain data, replicated through the log;
 * only the state machine makes or changes one.
 */
import type { Brand } from '../net/brand.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
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
  /** Where peers send to: the next hop on one L2, the outer destination of vxlan. */
  readonly publicIp: Ip;
  readonly publicIpv6: Ip | null;
  /** The address on the interface itself; differs from publicIp behind NAT. */
  readonly interfaceIp: Ip;
  readonly linkMtu: number;
  readonly backendType: 'host-gw' | 'vxlan' | 'alloc';
  /** Null only where no vxlan device exists. */
  readonly backendData: VxlanData | null;
}

/** `absent`: its lifetime ended without renewal; still owned and routed. `draining`: moved away from, still routed. */
export type LeaseState = 'active' | 'absent' | 'draining';

export interface Lease {
  readonly subnet: Cidr;
  readonly ipv6Subnet: Cidr | null;
  readonly nodeId: NodeId;
  readonly attributes: LeaseAttributes;
  readonly state: LeaseState;
  readonly expiresAt: ClusterTime;
}

/** Everything the data plane of one host needs to know, whole. Replaced, never patched. */
export interface LeaseSnapshot<Config> {
  /** Log index it was taken at. */
  readonly index: number;
  readonly config: Config;
  readonly own: Lease | null;
  readonly peers: readonly Lease[];
  /** Public addresses of all members, this host's included: who may send vxlan to us. */
  readonly memberIps: readonly Ip[];
}
