/**
 * A member record: who belongs to the cluster. Replica id and public key are the authority between members; name,
 * address and wish may change. Plain data with its strict readers, replicated through the log.
 */
import { createHash } from 'node:crypto';
import { type ReplicaId, toReplicaId } from '../../raft/core/types.ts';
import { NAME_PATTERN, PORT_MAX } from '../config/limits.ts';
import {
  boolean,
  type Fields,
  integer,
  ip,
  nullable,
  type Parser,
  record,
  text,
} from '../config/strict-json.ts';
import type { Ip } from '../net/ip.ts';
import { type ClusterTime, type NodeId, toNodeId } from './lease.ts';
import { clusterTime, nodeId } from './lease-codec.ts';

/** What a host says of itself when it joins. */
export interface MemberProfile {
  readonly nodeId: NodeId;
  /** Identity key: SPKI DER in base64. The node id is its digest. */
  readonly publicKey: string;
  readonly name: string;
  /** Where it speaks Raft from; `--peers` names hosts by it. */
  readonly address: Ip;
  readonly port: number;
  /** `--voter` is true, `--learner` is false, null is neither. */
  readonly wantsVoter: boolean | null;
}

export interface Member extends MemberProfile {
  /** One incarnation of the host: minted at each join, never used twice. */
  readonly replicaId: ReplicaId;
  readonly joinedAt: ClusterTime;
}

/** First 128 bits of SHA-256 of the identity key in SPKI DER. */
export function nodeIdOf(publicKey: string): NodeId {
  const digest = createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');
  return toNodeId(digest.slice(0, 32));
}

const replicaIdInteger = integer(1, Number.MAX_SAFE_INTEGER);

export function replicaId(value: unknown): ReplicaId {
  return toReplicaId(replicaIdInteger(value));
}

export const memberName: Parser<string> = text(NAME_PATTERN);
export const memberPort: Parser<number> = integer(1, PORT_MAX);

export function readProfile(fields: Fields): MemberProfile {
  return {
    nodeId: fields.get('nodeId', nodeId),
    publicKey: fields.get('publicKey', text(/^[A-Za-z0-9+/]{40,1024}={0,2}$/)),
    name: fields.get('name', memberName),
    address: fields.get('address', ip),
    port: fields.get('port', memberPort),
    wantsVoter: fields.get('wantsVoter', nullable(boolean)),
  };
}

export const memberProfile: Parser<MemberProfile> = record(readProfile);

export const member: Parser<Member> = record((fields) => ({
  ...readProfile(fields),
  replicaId: fields.get('replicaId', replicaId),
  joinedAt: fields.get('joinedAt', clusterTime),
}));
