/**
 * Which subnet a node gets. Pure and deterministic: the same leases, reservations and history give the same answer on
 * every replica. In this order: the lease the node has, if it still fits the configuration; a reservation for it; a
 * subnet it had before, if free; the lowest never-used one; the one released the longest ago; and, when all of that
 * is gone, the one whose owner has been absent the longest. An overlap of any prefix length is a conflict.
 */
import { rangeHolds, type SubnetRange } from '../config/subnet-range.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Cidr, cidrBase, cidrFamily, cidrOf, cidrSize, cidrsOverlap } from '../net/cidr.ts';
import { compareIp, ipBits, ipFamily, ipFromBigInt, ipToBigInt } from '../net/ip.ts';
import { ABSENT_REUSE_MS } from './cluster-time.ts';
import { type ClusterTime, type Lease, leaseKey, type NodeId } from './lease.ts';

/** What is taken, and what was. */
export interface Holdings {
  readonly leases: ReadonlyMap<Cidr, Lease>;
  readonly reservations: ReadonlyMap<Cidr, NodeId>;
  readonly released: ReadonlyMap<Cidr, ClusterTime>;
}

export interface AllocationRequest {
  readonly range: SubnetRange;
  readonly nodeId: NodeId;
  readonly wanted: Cidr | null;
  readonly previous: readonly Cidr[];
  readonly now: ClusterTime;
}

export type Allocation =
  /** A lease of this node that it keeps. */
  | { readonly kind: 'kept'; readonly lease: Lease }
  | { readonly kind: 'free'; readonly subnet: Cidr }
  /** Its owner has been absent too long and loses it. */
  | { readonly kind: 'reused'; readonly lease: Lease }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export function allocate(holdings: Holdings, request: AllocationRequest): Allocation {
  const { range, nodeId, wanted, previous, now } = request;
  const kept = ownFitting(holdings, range, nodeId);
  if (kept !== undefined && (wanted === null || wanted === leaseKey(kept)))
    return { kind: 'kept', lease: kept };
  if (wanted !== null) {
    const refusal =
      kept === undefined ? wantedRefusal(holdings, request, wanted) : holdsAnother(kept, wanted);
    return refusal === null ? { kind: 'free', subnet: wanted } : { kind: 'refused', refusal };
  }
  const subnet =
    [...reservedFor(holdings, nodeId), ...previous].find((one) => isFree(holdings, request, one)) ??
    lowestFree(holdings, range, true) ??
    longestReleased(holdings, request) ??
    lowestFree(holdings, range, false);
  if (subnet !== undefined) return { kind: 'free', subnet };
  const absent = longestAbsent(holdings, request, now);
  if (absent !== undefined) return { kind: 'reused', lease: absent };
  return { kind: 'refused', refusal: full(holdings, range) };
}

/** One that is not draining first; one that is draining may fit again after the configuration went back. */
function ownFitting(holdings: Holdings, range: SubnetRange, nodeId: NodeId): Lease | undefined {
  const fitting = [...holdings.leases.values()].filter(
    (lease) => lease.nodeId === nodeId && rangeHolds(range, leaseKey(lease)),
  );
  return fitting.find((lease) => lease.state !== 'draining') ?? fitting.sort(bySubnet)[0];
}

function reservedFor(holdings: Holdings, nodeId: NodeId): readonly Cidr[] {
  const own = [...holdings.reservations].filter(([, owner]) => owner === nodeId);
  return own.map(([subnet]) => subnet).sort(compareCidr);
}

function isFree(holdings: Holdings, { range, nodeId }: AllocationRequest, subnet: Cidr): boolean {
  return (
    rangeHolds(range, subnet) &&
    leaseOver(holdings, subnet) === undefined &&
    !reservedForOther(holdings, nodeId, subnet)
  );
}

function leaseOver(holdings: Holdings, subnet: Cidr): Lease | undefined {
  const exact = holdings.leases.get(subnet);
  if (exact !== undefined) return exact;
  for (const lease of holdings.leases.values()) if (cidrsOverlap(leaseKey(lease), subnet)) return lease;
  return undefined;
}

function reservedForOther(holdings: Holdings, nodeId: NodeId, subnet: Cidr): boolean {
  for (const [reserved, owner] of holdings.reservations)
    if (owner !== nodeId && cidrsOverlap(reserved, subnet)) return true;
  return false;
}

/** Walks the range once over what is taken, sorted: the first gap that holds a whole subnet. */
function lowestFree(holdings: Holdings, range: SubnetRange, neverUsed: boolean): Cidr | undefined {
  const taken = [
    ...holdings.leases.keys(),
    ...holdings.reservations.keys(),
    ...(neverUsed ? holdings.released.keys() : []),
  ];
  const family = cidrFamily(range.network);
  const intervals = taken
    .filter((subnet) => cidrFamily(subnet) === family)
    .map((subnet) => {
      const start = ipToBigInt(cidrBase(subnet));
      return { start, end: start + cidrSize(subnet) - 1n };
    })
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const size = subnetSize(range);
  const last = ipToBigInt(range.max);
  let candidate = ipToBigInt(range.min);
  for (const { start, end } of intervals) {
    if (start >= candidate + size) break;
    if (end >= candidate) candidate = (end / size + 1n) * size;
  }
  return candidate <= last ? cidrOf(ipFromBigInt(family, candidate), range.length) : undefined;
}

function longestReleased(holdings: Holdings, request: AllocationRequest): Cidr | undefined {
  return [...holdings.released]
    .sort(([a, timeA], [b, timeB]) => timeA - timeB || compareCidr(a, b))
    .map(([subnet]) => subnet)
    .find((subnet) => isFree(holdings, request, subnet));
}

function longestAbsent(
  holdings: Holdings,
  { range, nodeId }: AllocationRequest,
  now: ClusterTime,
): Lease | undefined {
  return [...holdings.leases.values()]
    .filter((lease) => lease.state === 'absent' && lease.expiresAt + ABSENT_REUSE_MS <= now)
    .sort((a, b) => a.expiresAt - b.expiresAt || bySubnet(a, b))
    .find(
      (lease) => rangeHolds(range, leaseKey(lease)) && !reservedForOther(holdings, nodeId, leaseKey(lease)),
    );
}

function wantedRefusal(
  holdings: Holdings,
  { range, nodeId }: AllocationRequest,
  wanted: Cidr,
): Refusal | null {
  const another = 'Name another subnet, or none to get one that is free.';
  if (!rangeHolds(range, wanted))
    return refuse(
      'subnet-out-of-range',
      EXIT.usage,
      `Subnet ${wanted} is not one of the /${range.length} subnets from ${range.min} to ${range.max} of network ${range.network}.`,
      another,
    );
  const lease = leaseOver(holdings, wanted);
  if (lease !== undefined)
    return refuse(
      'lease-taken',
      EXIT.conflict,
      `Subnet ${wanted} overlaps ${leaseKey(lease)}, which host ${lease.nodeId} holds.`,
      another,
    );
  if (reservedForOther(holdings, nodeId, wanted))
    return refuse(
      'subnet-reserved',
      EXIT.conflict,
      `Subnet ${wanted} is reserved for another host.`,
      another,
    );
  return null;
}

function holdsAnother(kept: Lease, wanted: Cidr): Refusal {
  return refuse(
    'lease-held',
    EXIT.conflict,
    `This host already holds ${leaseKey(kept)}, so it cannot get ${wanted} as well.`,
    `Keep it, or give it back with "tsflannel leave" and join again.`,
  );
}

/** What stands in the way, in numbers. */
function full(holdings: Holdings, range: SubnetRange): Refusal {
  const within = [...holdings.leases.values()].filter((lease) =>
    cidrsOverlap(range.network, leaseKey(lease)),
  );
  const absent = within.filter((lease) => lease.state === 'absent').length;
  const reserved = [...holdings.reservations.keys()].filter(
    (subnet) =>
      cidrsOverlap(range.network, subnet) && !within.some((lease) => cidrsOverlap(leaseKey(lease), subnet)),
  ).length;
  const total = (ipToBigInt(range.max) - ipToBigInt(range.min)) / subnetSize(range) + 1n;
  return refuse(
    'no-free-subnet',
    EXIT.failed,
    `No subnet is free in ${range.network}: of ${total} subnets ${within.length - absent} are in use, ${reserved} reserved and ${absent} held by absent hosts.`,
    'Run "tsflannel leave" on a host that needs its subnet no more, or found a cluster with a larger network.',
  );
}

function subnetSize(range: SubnetRange): bigint {
  return 1n << BigInt(ipBits(ipFamily(range.min)) - range.length);
}

function bySubnet(a: Lease, b: Lease): number {
  return compareCidr(leaseKey(a), leaseKey(b));
}

/** By base; a subnet is only ever compared with ones it does not equal. */
function compareCidr(a: Cidr, b: Cidr): number {
  return compareIp(cidrBase(a), cidrBase(b)) || (a < b ? -1 : 1);
}
