/**
 * What the commands about leases, reservations and the configuration do to the state. Pure. The one rule that stands
 * above the others: no two leases overlap, ever.
 */
import { LEASES_MAX, RELEASED_MAX, RESERVATIONS_MAX } from '../config/limits.ts';
import { type NetworkConfig, subnetRange } from '../config/network-config.ts';
import { canonicalJson } from '../config/strict-json.ts';
import { rangeHolds } from '../config/subnet-range.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Cidr, cidrFamily, cidrsOverlap } from '../net/cidr.ts';
import { FAMILIES, type Family, type Ip } from '../net/ip.ts';
import { allocate, outOfRange } from './allocator.ts';
import { addTime, isExpired, LEASE_LIFETIME_MS } from './cluster-time.ts';
import type {
  AcquireCommand,
  MarkAbsentCommand,
  ReleaseCommand,
  RenewCommand,
  ReserveCommand,
  SetConfigCommand,
  UnreserveCommand,
  UpdateAttributesCommand,
} from './command.ts';
import { refused } from './command-result.ts';
import {
  type ClusterTime,
  type Lease,
  type LeaseAttributes,
  leaseKey,
  type NodeId,
  subnetOf,
  subnetsOf,
} from './lease.ts';
import { type ClusterState, levelOf, ownLease } from './state.ts';
import { answerTo, notAMember, type Outcome, refuseWith, remember, superseded } from './transition.ts';

export function acquire(state: ClusterState, command: AcquireCommand): Outcome {
  const { nodeId, requestId, attributes, time } = command;
  if (!state.members.has(nodeId)) return notAMember(state, nodeId);
  const before = answerTo(state, requestId, nodeId);
  if (before !== undefined) {
    const current = ownLease(state, nodeId);
    return current !== undefined && leaseKey(current) === before.subnet
      ? { state, result: { kind: 'acquired', lease: current, reusedFrom: null } }
      : superseded(state);
  }
  const conflict = attributesConflict(state, nodeId, attributes);
  if (conflict !== null) return conflict;
  const vacated = vacate(state, attributes);
  const allocated = allocateAll(vacated, command);
  if ('refusal' in allocated) return { state, result: refused(allocated.refusal) };
  const { subnets, reusedFrom } = allocated;
  const lease: Lease = {
    subnet: subnets.get(4) ?? null,
    ipv6Subnet: subnets.get(6) ?? null,
    nodeId,
    attributes,
    state: 'active',
    expiresAt: addTime(time, LEASE_LIFETIME_MS),
  };
  const next: ClusterState = {
    ...take(vacated, lease),
    answers: remember(state, { requestId, time, nodeId, replicaId: null, subnet: leaseKey(lease) }),
  };
  if (next.leases.size > LEASES_MAX) return tooManyLeases(state);
  return { state: next, result: { kind: 'acquired', lease, reusedFrom } };
}

interface Allocated {
  readonly subnets: ReadonlyMap<Family, Cidr>;
  readonly reusedFrom: NodeId | null;
}

/** A subnet in each family of the network, or why there is none in one of them. */
function allocateAll(
  state: ClusterState,
  command: AcquireCommand,
): Allocated | { readonly refusal: Refusal } {
  const wishes: Readonly<Record<Family, Cidr | null>> = {
    4: command.wanted,
    6: command.wantedIpv6 ?? null,
  };
  const subnets = new Map<Family, Cidr>();
  let reusedFrom: NodeId | null = null;
  let holdings = state;
  for (const family of FAMILIES) {
    const range = subnetRange(state.config, family);
    const wanted = wishes[family];
    if (range === null && wanted !== null) return { refusal: noNetwork(family, wanted) };
    if (range === null) continue;
    const allocation = allocate(holdings, { ...command, range, wanted, now: command.time });
    if (allocation.kind === 'refused') return allocation;
    subnets.set(family, allocation.subnet);
    if (allocation.kind !== 'reused') continue;
    reusedFrom ??= allocation.lease.nodeId;
    // Who loses one subnet loses the lease, so that nobody else has to.
    holdings = giveBack(holdings, [allocation.lease]);
  }
  return { subnets, reusedFrom };
}

/** A node that was absent is active again; one that is moving away stays so. */
export function renew(state: ClusterState, { nodeId, subnet, time }: RenewCommand): Outcome {
  if (!state.members.has(nodeId)) return notAMember(state, nodeId);
  const old = state.leases.get(subnet);
  if (old === undefined || old.nodeId !== nodeId) return notHeld(state, nodeId, subnet);
  const lease: Lease = {
    ...old,
    state: old.state === 'draining' ? 'draining' : 'active',
    expiresAt: addTime(time, LEASE_LIFETIME_MS),
  };
  return { state: withLease(state, lease), result: { kind: 'renewed', lease } };
}

/** All leases of the node: peers send to one address, whichever subnet they mean. */
export function updateAttributes(state: ClusterState, command: UpdateAttributesCommand): Outcome {
  const { nodeId, attributes } = command;
  if (!state.members.has(nodeId)) return notAMember(state, nodeId);
  const own = ownLease(state, nodeId);
  if (own === undefined)
    return refuseWith(
      state,
      'no-lease',
      EXIT.conflict,
      `Host ${nodeId} holds no lease.`,
      'Restart the agent on that host; it acquires a lease when it starts.',
    );
  const conflict = attributesConflict(state, nodeId, attributes);
  if (conflict !== null) return conflict;
  const vacated = vacate(state, attributes);
  const leases = new Map(vacated.leases);
  for (const lease of leases.values())
    if (lease.nodeId === nodeId) leases.set(leaseKey(lease), { ...lease, attributes });
  return {
    state: { ...vacated, leases },
    result: { kind: 'attributes-updated', lease: { ...own, attributes } },
  };
}

/** Repeating it is no error: the subnet is free, as asked. */
export function release(state: ClusterState, { nodeId, subnet }: ReleaseCommand): Outcome {
  const lease = state.leases.get(subnet);
  const gone = lease === undefined && state.released.has(subnet);
  if (!gone && lease?.nodeId !== nodeId) return notHeld(state, nodeId, subnet);
  return { state: giveBack(state, lease === undefined ? [] : [lease]), result: { kind: 'released', subnet } };
}

/** The subnets are free from now on, and known to have been used. */
export function giveBack(state: ClusterState, given: readonly Lease[]): ClusterState {
  const leases = new Map(state.leases);
  const released = new Map(state.released);
  for (const lease of given) {
    leases.delete(leaseKey(lease));
    for (const subnet of subnetsOf(lease)) released.set(subnet, state.time);
  }
  return { ...state, leases, released: newest(released) };
}

/** Their host has been removed: they are kept for it, and routed, as those of any host that is absent. */
export function abandon(state: ClusterState, held: readonly Lease[]): ClusterState {
  const leases = new Map(state.leases);
  for (const lease of held)
    if (lease.state !== 'draining') leases.set(leaseKey(lease), { ...lease, state: 'absent' });
  return { ...state, leases };
}

export function reserve(state: ClusterState, { subnet, nodeId }: ReserveCommand): Outcome {
  const range = subnetRange(state.config, cidrFamily(subnet));
  if (range === null) return { state, result: refused(noNetwork(cidrFamily(subnet), subnet)) };
  const elsewhere = 'Name a subnet that is free; "tsflannel leases" shows the ones that are not.';
  if (!rangeHolds(range, subnet))
    return refuseWith(state, 'subnet-out-of-range', EXIT.usage, outOfRange(range, subnet), elsewhere);
  for (const lease of state.leases.values())
    if (lease.nodeId !== nodeId && subnetsOf(lease).some((one) => cidrsOverlap(one, subnet)))
      return refuseWith(
        state,
        'lease-taken',
        EXIT.conflict,
        `Subnet ${subnet} overlaps ${subnetsOf(lease).join(' and ')}, which host ${lease.nodeId} holds.`,
        elsewhere,
      );
  for (const [reserved, owner] of state.reservations)
    if (cidrsOverlap(reserved, subnet) && !(reserved === subnet && owner === nodeId))
      return refuseWith(
        state,
        'subnet-reserved',
        EXIT.conflict,
        `Subnet ${subnet} overlaps ${reserved}, which is reserved for host ${owner}.`,
        elsewhere,
      );
  if (state.reservations.size >= RESERVATIONS_MAX)
    return refuseWith(
      state,
      'too-many-reservations',
      EXIT.failed,
      `There are ${state.reservations.size} reservations, and no more are kept.`,
      'Run "tsflannel leave" on hosts that have one and need it no more.',
    );
  const reservations = new Map(state.reservations).set(subnet, nodeId);
  return { state: { ...state, reservations }, result: { kind: 'reserved', subnet, nodeId } };
}

export function unreserve(state: ClusterState, { subnet }: UnreserveCommand): Outcome {
  const reservations = new Map(state.reservations);
  reservations.delete(subnet);
  return { state: { ...state, reservations }, result: { kind: 'unreserved', subnet } };
}

/** Names the ones it changed: a lease that was renewed or given back meanwhile is not among them. */
export function markAbsent(state: ClusterState, { subnets, time }: MarkAbsentCommand): Outcome {
  const leases = new Map(state.leases);
  const marked: Cidr[] = [];
  for (const subnet of subnets) {
    const lease = leases.get(subnet);
    if (lease === undefined || !isExpired(lease, time)) continue;
    leases.set(subnet, { ...lease, state: 'absent' });
    marked.push(subnet);
  }
  return { state: { ...state, leases }, result: { kind: 'marked-absent', subnets: marked } };
}

/** The running leases stay where they are; one that does not fit any more moves when its host next acquires. */
export function setConfig(state: ClusterState, command: SetConfigCommand): Outcome {
  const { config, expectedRevision, moveLeases } = command;
  if (canonicalJson(config) === canonicalJson(state.config))
    return { state, result: { kind: 'config-set', revision: state.configRevision } };
  if (expectedRevision !== state.configRevision)
    return refuseWith(
      state,
      'config-changed',
      EXIT.conflict,
      `The configuration has changed since: it is at revision ${state.configRevision}, not ${expectedRevision}.`,
      'Look at it with "tsflannel config get" and repeat the change.',
    );
  if (levelOf(config) > state.featureLevel) return { state, result: refused(aboveLevel()) };
  const moving = [...state.leases.values()].filter((lease) => !fits(config, lease));
  if (moving.length > 0 && !moveLeases) return movesLeases(state, moving);
  const next = { ...state, config, configRevision: state.configRevision + 1 };
  return { state: next, result: { kind: 'config-set', revision: next.configRevision } };
}

/** The lease takes its subnet; what its owner held besides it drains, and nothing of the history overlaps it. */
function take(state: ClusterState, lease: Lease): ClusterState {
  const taken = subnetsOf(lease);
  const isTaken = (subnet: Cidr): boolean => taken.some((one) => cidrsOverlap(one, subnet));
  const leases = new Map(state.leases);
  const released = new Map([...state.released].filter(([subnet]) => !isTaken(subnet)));
  for (const other of state.leases.values()) {
    const isOwn = other.nodeId === lease.nodeId;
    if (!isOwn && !subnetsOf(other).some(isTaken)) continue;
    const rest = without(other, isTaken);
    const isMoved = rest === null || leaseKey(rest) !== leaseKey(other);
    // What is replaced keeps its place in the order.
    if ((isMoved || !isOwn) && leaseKey(other) !== leaseKey(lease)) leases.delete(leaseKey(other));
    if (rest === null) continue;
    if (isOwn) leases.set(leaseKey(rest), { ...rest, state: 'draining' });
    else for (const subnet of subnetsOf(rest)) released.set(subnet, state.time);
  }
  leases.set(leaseKey(lease), lease);
  return { ...state, leases, released: newest(released) };
}

/** What is left of a lease; null is nothing. */
function without(lease: Lease, isTaken: (subnet: Cidr) => boolean): Lease | null {
  const keep = (subnet: Cidr | null): Cidr | null => (subnet === null || isTaken(subnet) ? null : subnet);
  const rest = { ...lease, subnet: keep(lease.subnet), ipv6Subnet: keep(lease.ipv6Subnet) };
  return subnetsOf(rest).length === 0 ? null : rest;
}

/** True where each family of the network could have handed out the lease's subnet of it. */
function fits(config: NetworkConfig, lease: Lease): boolean {
  return FAMILIES.every((family) => {
    const range = subnetRange(config, family);
    const subnet = subnetOf(lease, family);
    if (range === null || subnet === null) return range === null && subnet === null;
    return rangeHolds(range, subnet);
  });
}

function withLease(state: ClusterState, lease: Lease): ClusterState {
  return { ...state, leases: new Map(state.leases).set(leaseKey(lease), lease) };
}

function newest(released: ReadonlyMap<Cidr, ClusterTime>): ReadonlyMap<Cidr, ClusterTime> {
  if (released.size <= RELEASED_MAX) return released;
  return new Map(
    [...released].sort(([a, timeA], [b, timeB]) => timeB - timeA || (a < b ? -1 : 1)).slice(0, RELEASED_MAX),
  );
}

/** Two hosts behind one address would get each other's packets, and a host without one would get none. */
function attributesConflict(
  state: ClusterState,
  nodeId: NodeId,
  attributes: LeaseAttributes,
): Outcome | null {
  const { EnableIPv4, EnableIPv6 } = state.config;
  if (EnableIPv4 && attributes.publicIp === null) return addressMissing(state, nodeId, 4);
  if (EnableIPv6 && attributes.publicIpv6 === null) return addressMissing(state, nodeId, 6);
  for (const lease of state.leases.values()) {
    if (!isInUse(state, lease) || lease.nodeId === nodeId) continue;
    const shared = sharedAddress(lease.attributes, attributes);
    if (shared === null) continue;
    return refuseWith(
      state,
      'address-taken',
      EXIT.conflict,
      `The public address ${shared} belongs to host ${state.members.get(lease.nodeId)?.name ?? lease.nodeId}, which holds ${subnetsOf(lease).join(' and ')}.`,
      'Choose another interface or --public-ip, or remove the old member first.',
    );
  }
  return null;
}

function sharedAddress(a: LeaseAttributes, b: LeaseAttributes): Ip | null {
  if (a.publicIp !== null && a.publicIp === b.publicIp) return a.publicIp;
  return a.publicIpv6 === b.publicIpv6 ? a.publicIpv6 : null;
}

/** What is kept for a host that was removed goes when another host has its address. */
function vacate(state: ClusterState, attributes: LeaseAttributes): ClusterState {
  const left = [...state.leases.values()].filter(
    (lease) => !isInUse(state, lease) && sharedAddress(lease.attributes, attributes) !== null,
  );
  return giveBack(state, left);
}

function isInUse({ members }: ClusterState, lease: Lease): boolean {
  return members.has(lease.nodeId);
}

function notHeld(state: ClusterState, nodeId: NodeId, subnet: Cidr): Outcome {
  const holder = state.leases.get(subnet);
  const now = holder === undefined ? 'nobody holds it' : `host ${holder.nodeId} holds it`;
  return refuseWith(
    state,
    'lease-not-held',
    EXIT.conflict,
    `Host ${nodeId} does not hold ${subnet}: ${now}.`,
    '"tsflannel leases" shows who holds what; a restart of the agent acquires a new lease.',
  );
}

function addressMissing(state: ClusterState, nodeId: NodeId, family: Family): Outcome {
  return refuseWith(
    state,
    'no-address',
    EXIT.usage,
    `The network has IPv${family}, and host ${nodeId} names no IPv${family} address to be reached by.`,
    `Give its interface an IPv${family} address, or choose another interface with --iface.`,
  );
}

function noNetwork(family: Family, subnet: Cidr): Refusal {
  return refuse(
    'subnet-out-of-range',
    EXIT.usage,
    `Subnet ${subnet} cannot be had: the network configuration has no IPv${family} network.`,
    'Name a subnet of a network that "tsflannel config get" shows.',
  );
}

/** Of a command for IPv6 in a cluster that was founded without. */
export function aboveLevel(): Refusal {
  return refuse(
    'feature-level',
    EXIT.usage,
    'This cluster was founded without IPv6, and its hosts may run versions that know none.',
    'Found a cluster with EnableIPv6.',
  );
}

function tooManyLeases(state: ClusterState): Outcome {
  return refuseWith(
    state,
    'too-many-leases',
    EXIT.failed,
    `There are ${state.leases.size} leases, and no more are kept.`,
    'Run "tsflannel leave" on hosts that are to go.',
  );
}

function movesLeases(state: ClusterState, moving: readonly Lease[]): Outcome {
  const names = moving.map((lease) => state.members.get(lease.nodeId)?.name ?? lease.nodeId).sort();
  const shown = names.slice(0, 10).join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');
  return refuseWith(
    state,
    'config-moves-leases',
    EXIT.unsafe,
    `The new configuration would move the subnets of ${names.length} hosts: ${shown}.`,
    'Repeat the command with --yes to move them.',
  );
}
