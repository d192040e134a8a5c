/**
 * Which subnet of one family a node gets. Pure and deterministic: the same leases, reservations and history give the
 * same answer on every replica. In this order: the subnet the node has, if it still fits the configuration; a
 * reservation for it; a subnet it had before, if free; the lowest never-used one; the one released the longest ago; and,
 * when all of that is gone, the one whose owner has been absent the longest. An overlap of any prefix length is a conflict.
 */
import { rangeHolds, type SubnetRange } from '../config/subnet-range.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Cidr, cidrBase, cidrFamily, cidrOf, cidrSize, cidrsOverlap } from '../net/cidr.ts';
import { compareIp, type Family, ipBits, ipFamily, ipFromBigInt, ipToBigInt } from '../net/ip.ts';
import { ABSENT_REUSE_MS } from './cluster-time.ts';
import { type ClusterTime, type Lease, type NodeId, subnetOf } from './lease.ts';

/** What is taken, and what was, in either family. */
export interface Holdings {
  readonly leases: ReadonlyMap<Cidr, Lease>;
  readonly reservations: ReadonlyMap<Cidr, NodeId>;
  readonly released: ReadonlyMap<Cidr, ClusterTime>;
}

export interface AllocationRequest {
  /** Of the family that is asked for. */
  readonly range: SubnetRange;
  readonly nodeId: NodeId;
  readonly wanted: Cidr | null;
  /** Of either family. */
  readonly previous: readonly Cidr[];
  readonly now: ClusterTime;
}

export type Allocation =
  /** This node has it already. */
  | { readonly kind: 'kept'; readonly subnet: Cidr }
  | { readonly kind: 'free'; readonly subnet: Cidr }
  /** The owner of this lease has been absent too long and loses it. */
  | { readonly kind: 'reused'; readonly subnet: Cidr; readonly lease: Lease }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** A lease that has a subnet of the family. */
interface Held {
  readonly subnet: Cidr;
  readonly lease: Lease;
}

export function allocate(holdings: Holdings, request: AllocationRequest): Allocation {
  const { range, nodeId, wanted, previous, now } = request;
  const held = heldIn(holdings, cidrFamily(range.network));
  const kept = ownFitting(held, range, nodeId);
  if (kept !== undefined && (wanted === null || wanted === kept)) return { kind: 'kept', subnet: kept };
  if (wanted !== null) {
    const refusal =
      kept === undefined ? wantedRefusal(holdings, held, request, wanted) : holdsAnother(kept, wanted);
    return refusal === null ? { kind: 'free', subnet: wanted } : { kind: 'refused', refusal };
  }
  const subnet =
    [...reservedFor(holdings, nodeId), ...previous].find((one) => isFree(holdings, held, request, one)) ??
    lowestFree(holdings, held, range, true) ??
    longestReleased(holdings, held, request) ??
    lowestFree(holdings, held, range, false);
  if (subnet !== undefined) return { kind: 'free', subnet };
  const absent = longestAbsent(holdings, held, request, now);
  if (absent !== undefined) return { kind: 'reused', ...absent };
  return { kind: 'refused', refusal: full(holdings, held, range) };
}

function heldIn({ leases }: Holdings, family: Family): readonly Held[] {
  const held: Held[] = [];
  for (const lease of leases.values()) {
    const subnet = subnetOf(lease, family);
    if (subnet !== null) held.push({ subnet, lease });
  }
  return held;
}

/** One that is not draining first; one that is draining may fit again after the configuration went back. */
function ownFitting(held: readonly Held[], range: SubnetRange, nodeId: NodeId): Cidr | undefined {
  const fitting = held.filter(({ subnet, lease }) => lease.nodeId === nodeId && rangeHolds(range, subnet));
  const standing = fitting.find(({ lease }) => lease.state !== 'draining');
  return (standing ?? fitting.sort((a, b) => compareCidr(a.subnet, b.subnet))[0])?.subnet;
}

function reservedFor(holdings: Holdings, nodeId: NodeId): readonly Cidr[] {
  const own = [...holdings.reservations].filter(([, owner]) => owner === nodeId);
  return own.map(([subnet]) => subnet).sort(compareCidr);
}

function isFree(
  holdings: Holdings,
  held: readonly Held[],
  { range, nodeId }: AllocationRequest,
  subnet: Cidr,
): boolean {
  return (
    rangeHolds(range, subnet) &&
    holderOver(held, subnet) === undefined &&
    !reservedForOther(holdings, nodeId, subnet)
  );
}

function holderOver(held: readonly Held[], subnet: Cidr): Held | undefined {
  return held.find((one) => one.subnet === subnet) ?? held.find((one) => cidrsOverlap(one.subnet, subnet));
}

function reservedForOther(holdings: Holdings, nodeId: NodeId, subnet: Cidr): boolean {
  for (const [reserved, owner] of holdings.reservations)
    if (owner !== nodeId && cidrsOverlap(reserved, subnet)) return true;
  return false;
}

/** Walks the range once over what is taken, sorted: the first gap that holds a whole subnet. */
function lowestFree(
  holdings: Holdings,
  held: readonly Held[],
  range: SubnetRange,
  neverUsed: boolean,
): Cidr | undefined {
  const taken = [
    ...held.map(({ subnet }) => subnet),
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

function longestReleased(
  holdings: Holdings,
  held: readonly Held[],
  request: AllocationRequest,
): Cidr | undefined {
  return [...holdings.released]
    .sort(([a, timeA], [b, timeB]) => timeA - timeB || compareCidr(a, b))
    .map(([subnet]) => subnet)
    .find((subnet) => isFree(holdings, held, request, subnet));
}

function longestAbsent(
  holdings: Holdings,
  held: readonly Held[],
  { range, nodeId }: AllocationRequest,
  now: ClusterTime,
): Held | undefined {
  return held
    .filter(({ lease }) => lease.state === 'absent' && lease.expiresAt + ABSENT_REUSE_MS <= now)
    .sort((a, b) => a.lease.expiresAt - b.lease.expiresAt || compareCidr(a.subnet, b.subnet))
    .find(({ subnet }) => rangeHolds(range, subnet) && !reservedForOther(holdings, nodeId, subnet));
}

function wantedRefusal(
  holdings: Holdings,
  held: readonly Held[],
  { range, nodeId }: AllocationRequest,
  wanted: Cidr,
): Refusal | null {
  const another = 'Name another subnet, or none to get one that is free.';
  if (!rangeHolds(range, wanted))
    return refuse('subnet-out-of-range', EXIT.usage, outOfRange(range, wanted), another);
  const holder = holderOver(held, wanted);
  if (holder !== undefined)
    return refuse(
      'lease-taken',
      EXIT.conflict,
      `Subnet ${wanted} overlaps ${holder.subnet}, which host ${holder.lease.nodeId} holds.`,
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

export function outOfRange(range: SubnetRange, subnet: Cidr): string {
  return `Subnet ${subnet} is not one of the /${range.length} subnets from ${range.min} to ${range.max} of network ${range.network}.`;
}

function holdsAnother(kept: Cidr, wanted: Cidr): Refusal {
  return refuse(
    'lease-held',
    EXIT.conflict,
    `This host already holds ${kept}, so it cannot get ${wanted} as well.`,
    `Keep it, or give it back with "tsflannel leave" and join again.`,
  );
}

/** What stands in the way, in numbers. */
function full(holdings: Holdings, held: readonly Held[], range: SubnetRange): Refusal {
  const within = held.filter(({ subnet }) => cidrsOverlap(range.network, subnet));
  const absent = within.filter(({ lease }) => lease.state === 'absent').length;
  const reserved = [...holdings.reservations.keys()].filter(
    (subnet) =>
      cidrsOverlap(range.network, subnet) && !within.some((one) => cidrsOverlap(one.subnet, subnet)),
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

/** By base; a subnet is only ever compared with ones it does not equal. */
function compareCidr(a: Cidr, b: Cidr): number {
  return compareIp(cidrBase(a), cidrBase(b)) || (a < b ? -1 : 1);
}
