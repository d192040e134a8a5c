/**
 * Strict readers of lease values: shared by the commands of the log, their results, the state machine's snapshot and
 * the cache file. Only canonical addresses pass.
 */
import { MTU_MAX, VNI_MAX, VNI_MIN } from '../config/limits.ts';
import {
  cidr,
  DecodeError,
  integer,
  ip,
  nullable,
  oneOf,
  type Parser,
  record,
  text,
} from '../config/strict-json.ts';
import { type Mac, parseMac } from '../net/mac.ts';
import {
  type ClusterTime,
  type Lease,
  type LeaseAttributes,
  type NodeId,
  toClusterTime,
  toNodeId,
  type VxlanData,
} from './lease.ts';

const nodeIdText = text(/^[0-9a-f]{32}$/);
const timeInteger = integer(0, Number.MAX_SAFE_INTEGER);

export function nodeId(value: unknown): NodeId {
  return toNodeId(nodeIdText(value));
}

export function clusterTime(value: unknown): ClusterTime {
  return toClusterTime(timeInteger(value));
}

export function mac(value: unknown): Mac {
  const parsed = typeof value === 'string' ? parseMac(value) : undefined;
  if (parsed === undefined || parsed !== value) throw new DecodeError('not a canonical MAC address');
  return parsed;
}

const vxlanData: Parser<VxlanData> = record((fields) => ({
  VNI: fields.get('VNI', integer(VNI_MIN, VNI_MAX)),
  VtepMAC: fields.get('VtepMAC', mac),
}));

export const leaseAttributes: Parser<LeaseAttributes> = record((fields) => ({
  publicIp: fields.get('publicIp', nullable(ip)),
  publicIpv6: fields.get('publicIpv6', nullable(ip)),
  interfaceIp: fields.get('interfaceIp', nullable(ip)),
  linkMtu: fields.get('linkMtu', integer(1, MTU_MAX)),
  backendType: fields.get('backendType', oneOf('host-gw', 'vxlan', 'alloc')),
  backendData: fields.get('backendData', nullable(vxlanData)),
  ...(fields.has('backendV6Data') && { backendV6Data: fields.get('backendV6Data', vxlanData) }),
}));

export const lease: Parser<Lease> = record((fields) => ({
  subnet: fields.get('subnet', nullable(cidr)),
  ipv6Subnet: fields.get('ipv6Subnet', nullable(cidr)),
  nodeId: fields.get('nodeId', nodeId),
  attributes: fields.get('attributes', leaseAttributes),
  state: fields.get('state', oneOf('active', 'absent', 'draining')),
  expiresAt: fields.get('expiresAt', clusterTime),
}));
