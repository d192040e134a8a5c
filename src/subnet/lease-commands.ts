/**
 * What the commands about leases, reservations and the configuration do to the state. Pure. The one rule that stands
 * above the others: no two leases overlap, ever.
 */
import { LEASES_MAX, RELEASED_MAX, RESERVATIONS_MAX } from '../config/limits.ts';
import { ipv4Range, supported } from '../config/network-config.ts';
import { canonicalJson } from '../config/strict-json.ts';
import { rangeHolds, type SubnetRange } from '../config/subnet-range.ts';
import { EXIT } from '../errors.ts';
import { type Cidr, cidrsOverlap } from '../net/cidr.ts';
import { allocate } from './allocator.ts';
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
  subnetsOf,
} from './lease.ts';
import { type ClusterState, ownLease } from './state.ts';
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
  const range = ipv4Range(state.config);
  if (range === null) return notConfigured(state);
  const vacated = vacate(state, attributes);
  const allocation = allocate(vacated, { ...command, range, now: time });
  if (allocation.kind === 'refused') return { state, result: refused(allocation.refusal) };
  const subnet = allocation.kind === 'free' ? allocation.subnet : leaseKey(allocation.lease);
  const lease: Lease = {
    subnet,
    ipv6Subnet: null,
    nodeId,
    attributes,
    state: 'active',
    expiresAt: addTime(time, LEASE_LIFETIME_MS),
  };
  const next: ClusterState = {
    ...take(vacated, lease),
    answers: remember(state, { requestId, time, nodeId, replicaId: null, subnet }),
  };
  if (next.leases.size > LEASES_MAX) return tooManyLeases(state);
  const reusedFrom = allocation.kind === 'reused' ? allocation.lease.nodeId : null;
  return { state: next, result: { kind: 'acquired', lease, reusedFrom } };
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
  const range = ipv4Range(state.config);
  if (range === null) return notConfigured(state);
  const elsewhere = 'Name a subnet that is free; "tsflannel leases" shows the ones that are not.';
  if (!rangeHolds(range, subnet))
    return refuseWith(state, 'subnet-out-of-range', EXIT.usage, outOfRange(range, subnet), elsewhere);
  for (const lease of state.leases.values())
    if (lease.nodeId !== nodeId && cidrsOverlap(leaseKey(lease), subnet))
      return refuseWith(
        state,
        'lease-taken',
        EXIT.conflict,
        `Subnet ${subnet} overlaps ${leaseKey(lease)}, which host ${lease.nodeId} holds.`,
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
  const unsupported = supported(config);
  if (unsupported !== null) return { state, result: refused(unsupported) };
  const range = ipv4Range(config);
  const moving = [...state.leases.values()].filter(
    (lease) => range === null || !rangeHolds(range, leaseKey(lease)),
  );
  if (moving.length > 0 && !moveLeases) return movesLeases(state, moving);
  const next = { ...state, config, configRevision: state.configRevision + 1 };
  return { state: next, result: { kind: 'config-set', revision: next.configRevision } };
}

/** The lease takes its subnet; what its owner held besides it drains, and nothing of the history overlaps it. */
function take(state: ClusterState, lease: Lease): ClusterState {
  const leases = new Map(state.leases);
  for (const other of state.leases.values())
    if (other.nodeId === lease.nodeId) leases.set(leaseKey(other), { ...other, state: 'draining' });
  leases.set(leaseKey(lease), lease);
  const released = new Map(state.released);
  for (const subnet of state.released.keys())
    if (cidrsOverlap(subnet, leaseKey(lease))) released.delete(subnet);
  return { ...state, leases, released };
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

/** Two hosts behind one address would get each other's packets. */
function attributesConflict(
  state: ClusterState,
  nodeId: NodeId,
  { publicIp }: LeaseAttributes,
): Outcome | null {
  for (const lease of state.leases.values())
    if (isInUse(state, lease) && lease.nodeId !== nodeId && lease.attributes.publicIp === publicIp)
      return refuseWith(
        state,
        'address-taken',
        EXIT.conflict,
        `The public address ${publicIp} belongs to host ${state.members.get(lease.nodeId)?.name ?? lease.nodeId}, which holds ${subnetsOf(lease).join(' and ')}.`,
        'Choose another interface or --public-ip, or remove the old member first.',
      );
  return null;
}

/** What is kept for a host that was removed goes when another host has its address. */
function vacate(state: ClusterState, { publicIp }: LeaseAttributes): ClusterState {
  const left = [...state.leases.values()].filter(
    (lease) => !isInUse(state, lease) && lease.attributes.publicIp === publicIp,
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

function notConfigured(state: ClusterState): Outcome {
  return refuseWith(
    state,
    'no-ipv4',
    EXIT.usage,
    'The network configuration has no IPv4 network to take subnets from.',
    'Found the cluster with EnableIPv4 and a Network.',
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

function outOfRange(range: SubnetRange, subnet: Cidr): string {
  return `Subnet ${subnet} is not one of the /${range.length} subnets from ${range.min} to ${range.max} of network ${range.network}.`;
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
