/**
 * The replicated state as one immutable value, and its snapshot form: canonical JSON, so that replicas that
 * applied the same log write equal bytes. Reading is strict and accepts nothing that writing would not have written.
 */
import type { ReplicaId } from '../../raft/core/types.ts';
import {
  ANSWERS_MAX,
  LEASES_MAX,
  MEMBERS_MAX,
  PEERS_MAX,
  RELEASED_MAX,
  RESERVATIONS_MAX,
  STATE_BYTES_MAX,
  TOKENS_MAX,
} from '../config/limits.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import {
  canonicalJson,
  canonicalJsonPieces,
  cidr,
  DecodeError,
  type Fields,
  integer,
  ip,
  list,
  nullable,
  oneOf,
  type Parser,
  parseJsonBytes,
  record,
} from '../config/strict-json.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { clusterId, epoch, networkConfig, requestId, revision } from './command.ts';
import { type ClusterTime, type Lease, leaseKey, type NodeId } from './lease.ts';
import { clusterTime, lease, nodeId } from './lease-codec.ts';
import { type Member, member, replicaId } from './member.ts';
import { type Token, token } from './token.ts';

/**
 * What replicas have to know to apply a log: 2 is IPv6. The leader proposes nothing above the level of its cluster, so
 * that every version which could join it can read what is in the log.
 */
const FEATURE_LEVEL = 2;
const FORMAT_VERSION = 1;

/** What a request got, for the case that its answer was lost and it comes again. */
export interface Answer {
  readonly requestId: string;
  readonly time: ClusterTime;
  readonly nodeId: NodeId;
  /** A join's; null for an acquire. */
  readonly replicaId: ReplicaId | null;
  /** An acquire's; null for a join. */
  readonly subnet: Cidr | null;
}

export interface ClusterState {
  /** That of the network it was founded with; it stays. */
  readonly featureLevel: number;
  readonly clusterId: string;
  readonly epoch: number;
  /** Newest stamp seen; never goes back. */
  readonly time: ClusterTime;
  /** Log index of the last command. */
  readonly index: number;
  /** Every smaller id that no member has is retired for ever. */
  readonly nextReplicaId: ReplicaId;
  readonly config: NetworkConfig;
  /** Counts from 1. */
  readonly configRevision: number;
  /** Named by `--peers` of `init`; these become voters. */
  readonly peers: readonly Ip[];
  readonly members: ReadonlyMap<NodeId, Member>;
  readonly tokens: ReadonlyMap<string, Token>;
  /** By subnet. No two overlap. */
  readonly leases: ReadonlyMap<Cidr, Lease>;
  /** Who may have a subnet, by subnet. No two overlap. */
  readonly reservations: ReadonlyMap<Cidr, NodeId>;
  /** Subnets that were leased and are not now, with when they were given back. None overlaps a lease. */
  readonly released: ReadonlyMap<Cidr, ClusterTime>;
  /** Oldest first. */
  readonly answers: readonly Answer[];
}

/** The feature level that a network needs. */
export function levelOf(config: NetworkConfig): number {
  return config.EnableIPv6 ? 2 : 1;
}

/** True for an id that was minted once and belongs to nobody now: what comes from it is never to be believed. */
export function isRetired(state: ClusterState, id: ReplicaId): boolean {
  return id < state.nextReplicaId && memberByReplica(state, id) === undefined;
}

export function memberByReplica(state: ClusterState, id: ReplicaId): Member | undefined {
  for (const one of state.members.values()) if (one.replicaId === id) return one;
  return undefined;
}

/** The lease a node stands on, not one that it is moving away from. */
export function ownLease(state: ClusterState, id: NodeId): Lease | undefined {
  for (const one of state.leases.values()) if (one.nodeId === id && one.state !== 'draining') return one;
  return undefined;
}

/** Null is a replica that has not seen the bootstrap yet. */
export function encodeState(state: ClusterState | null): Uint8Array {
  return new TextEncoder().encode(canonicalJson(documentOf(state)));
}

/** The same bytes, made as they are asked for: those of a large cluster take longer than a heartbeat may wait. */
export function* encodeStateInPieces(state: ClusterState | null): Generator<Uint8Array, void> {
  const encoder = new TextEncoder();
  let piece = '';
  for (const text of canonicalJsonPieces(documentOf(state), PIECE_DEPTH)) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield encoder.encode(piece);
    piece = '';
  }
  yield encoder.encode(piece);
}

function documentOf(state: ClusterState | null): object {
  return { formatVersion: FORMAT_VERSION, state: state && plain(state) };
}

/** The document, the state in it and its lists are taken apart. */
const PIECE_DEPTH = 3;
/** Made in well below a millisecond. */
const PIECE_CHARACTERS = 16_384;

/** Throws DecodeError for bytes that encodeState did not write. */
export function decodeState(bytes: Uint8Array): ClusterState | null {
  const parse = record((fields) => {
    fields.get('formatVersion', oneOf(FORMAT_VERSION));
    return fields.get('state', nullable(record(readState)));
  });
  const state = parse(parseJsonBytes(bytes, STATE_BYTES_MAX));
  if (Buffer.compare(encodeState(state), bytes) !== 0) throw new DecodeError('not in canonical form');
  return state;
}

/**
 * Lists keep the order of the maps, which is the order of the log. So a command that walks a map meets the same order,
 * and gives the same result to the letter, on a replica that started from a snapshot.
 */
function plain(state: ClusterState): object {
  return {
    ...state,
    members: [...state.members.values()],
    tokens: [...state.tokens.values()],
    leases: [...state.leases.values()],
    reservations: [...state.reservations].map(([subnet, owner]) => ({ subnet, nodeId: owner })),
    released: [...state.released].map(([subnet, time]) => ({ subnet, time })),
  };
}

function readState(fields: Fields): ClusterState {
  return {
    featureLevel: fields.get('featureLevel', integer(1, FEATURE_LEVEL)),
    clusterId: fields.get('clusterId', clusterId),
    epoch: fields.get('epoch', epoch),
    time: fields.get('time', clusterTime),
    index: fields.get('index', integer(1, Number.MAX_SAFE_INTEGER)),
    nextReplicaId: fields.get('nextReplicaId', replicaId),
    config: fields.get('config', networkConfig),
    configRevision: fields.get('configRevision', revision),
    peers: fields.get('peers', list(ip, PEERS_MAX)),
    members: keyed(fields.get('members', list(member, MEMBERS_MAX)), (one) => one.nodeId),
    tokens: keyed(fields.get('tokens', list(token, TOKENS_MAX)), (one) => one.id),
    leases: keyed(fields.get('leases', list(lease, LEASES_MAX)), leaseKey),
    reservations: new Map(fields.get('reservations', list(reservation, RESERVATIONS_MAX))),
    released: new Map(fields.get('released', list(releasedSubnet, RELEASED_MAX))),
    answers: fields.get('answers', list(answer, ANSWERS_MAX)),
  };
}

const reservation: Parser<readonly [Cidr, NodeId]> = record((fields) => [
  fields.get('subnet', cidr),
  fields.get('nodeId', nodeId),
]);

const releasedSubnet: Parser<readonly [Cidr, ClusterTime]> = record((fields) => [
  fields.get('subnet', cidr),
  fields.get('time', clusterTime),
]);

const answer: Parser<Answer> = record((fields) => ({
  requestId: fields.get('requestId', requestId),
  time: fields.get('time', clusterTime),
  nodeId: fields.get('nodeId', nodeId),
  replicaId: fields.get('replicaId', nullable(replicaId)),
  subnet: fields.get('subnet', nullable(cidr)),
}));

function keyed<K, V>(values: readonly V[], key: (value: V) => K): ReadonlyMap<K, V> {
  return new Map(values.map((value) => [key(value), value]));
}
