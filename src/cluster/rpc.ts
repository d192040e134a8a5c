/**
 * What hosts ask each other over a session: JSON requests and answers with strict parsers. Everything here is hostile
 * until parsed. `probe`, `join` and `rejoin` may come from anybody; the rest only from members.
 */
import { type ReplicaId, toReplicaId } from '../../raft/core/types.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { EXIT, type ExitCode, type Refusal } from '../errors.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { isReplicaId, type KnownMember, parseKnownMembers } from './cluster-file.ts';

/** "Who are you, and who leads?" */
export interface ProbeRequest {
  readonly method: 'probe';
}
export interface JoinRequest {
  readonly method: 'join';
  /** Makes a repetition after a lost answer the same join. */
  readonly requestId: string;
  readonly tokenId: string;
  readonly secret: string;
  /** SPKI DER, base64. */
  readonly publicKey: string;
  /** Over the TLS exporter value of this session: proves that the key's holder speaks here and now. base64. */
  readonly proof: string;
  readonly name: string;
  readonly address: Ip;
  readonly port: number;
  /** `--voter` and `--learner`; null leaves it to the cluster. */
  readonly role: 'voter' | 'learner' | null;
}
/** A member whose database is damaged asks to come back as a new replica. Its identity key is all it has to show. */
export interface RejoinRequest {
  readonly method: 'rejoin';
  readonly requestId: string;
  /** The replica that it was. */
  readonly retired: ReplicaId;
  /** SPKI DER, base64. */
  readonly publicKey: string;
  /** As of a join. */
  readonly proof: string;
}
/** A command for the log; the leader stamps the time. */
export interface ProposeRequest {
  readonly method: 'propose';
  /** UTF-8 JSON of a command. */
  readonly command: string;
}
/** A voter asks for the CA key that it should hold. */
export interface CaKeyRequest {
  readonly method: 'ca-key';
}
/** "Up to where must a read see the log?" Answered once a quorum has shown that its leader still leads. */
export interface ReadIndexRequest {
  readonly method: 'read-index';
}
/** Of a voter to the leader. Null leaves the choice to it. */
export interface TransferRequest {
  readonly method: 'transfer-leadership';
  readonly target: ReplicaId | null;
}
export type RpcRequest =
  | ProbeRequest
  | JoinRequest
  | RejoinRequest
  | ProposeRequest
  | CaKeyRequest
  | ReadIndexRequest
  | TransferRequest;

export interface ProbeAnswer {
  readonly kind: 'probe';
  /** `initialising`: its `init` asks the hosts that it names (`peers`); `founding`: it has asked and goes on. */
  readonly state: 'initialising' | 'founding' | 'member';
  readonly clusterId: string;
  readonly epoch: number;
  readonly address: Ip;
  readonly peers: readonly Ip[];
  readonly isLeader: boolean;
  readonly leader: Endpoint | null;
  /** Names of the voters that this member does not hear. */
  readonly missing: readonly string[];
}
export interface JoinAnswer {
  readonly kind: 'joined';
  readonly clusterId: string;
  readonly epoch: number;
  readonly replicaId: ReplicaId;
  readonly nodeCert: string;
  readonly caCert: string;
  readonly known: readonly KnownMember[];
}
/** `result` is the state machine's answer in its own JSON text. */
export interface AppliedAnswer {
  readonly kind: 'applied';
  readonly index: number;
  readonly result: string;
}
export interface CaKeyAnswer {
  readonly kind: 'ca-key';
  readonly caKey: string;
}
export interface ReadIndexAnswer {
  readonly kind: 'read-index';
  readonly index: number;
}
export interface TransferredAnswer {
  readonly kind: 'transferred';
  readonly leader: ReplicaId;
}
export interface NotLeaderAnswer {
  readonly kind: 'not-leader';
  readonly leader: ReplicaId | null;
}
/** The proposal may or may not be applied: ask again with the same request id. */
export interface UncertainAnswer {
  readonly kind: 'uncertain';
}
export interface RefusedAnswer {
  readonly kind: 'refused';
  readonly refusal: Refusal;
}
export type RpcAnswer =
  | ProbeAnswer
  | JoinAnswer
  | AppliedAnswer
  | CaKeyAnswer
  | ReadIndexAnswer
  | TransferredAnswer
  | NotLeaderAnswer
  | UncertainAnswer
  | RefusedAnswer;

/** Label of RFC 8446 section 7.5 exporter values that joins are signed over. */
export const JOIN_EXPORTER_LABEL = 'EXPORTER-tsflannel-join';
export const JOIN_EXPORTER_BYTES = 32;

/** What the joiner signs. */
export function proofMessage(method: 'join' | 'rejoin', exported: Uint8Array, requestId: string): Uint8Array {
  return Buffer.concat([Buffer.from(`tsflannel ${method}\0`), exported, Buffer.from(requestId)]);
}

export function encodeRpc(message: RpcRequest | RpcAnswer): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}

/** Undefined for anything that is not a request. */
export function parseRpcRequest(payload: Uint8Array): RpcRequest | undefined {
  const value = parseRecord(payload);
  switch (value?.['method']) {
    case 'probe':
      return { method: 'probe' };
    case 'join':
      return parseJoinRequest(value);
    case 'rejoin':
      return parseRejoinRequest(value);
    case 'propose':
      return isText(value['command'], 1 << 20) ? { method: 'propose', command: value['command'] } : undefined;
    case 'ca-key':
      return { method: 'ca-key' };
    case 'read-index':
      return { method: 'read-index' };
    case 'transfer-leadership': {
      const { target } = value;
      if (target !== null && !isReplicaId(target)) return undefined;
      return { method: 'transfer-leadership', target: target === null ? null : toReplicaId(target) };
    }
    default:
      return undefined;
  }
}

function parseJoinRequest(value: Record<string, unknown>): JoinRequest | undefined {
  const { requestId, tokenId, secret, publicKey, proof, name, address, port, role } = value;
  if (!isText(requestId, 64) || !isText(tokenId, 64) || !isText(secret, 128)) return undefined;
  if (!isText(publicKey, 256) || !isText(proof, 256) || !isText(name, 255) || !isPort(port)) return undefined;
  const ip = isText(address, 64) ? parseIp(address) : undefined;
  if (ip === undefined || (role !== null && role !== 'voter' && role !== 'learner')) return undefined;
  return { method: 'join', requestId, tokenId, secret, publicKey, proof, name, address: ip, port, role };
}

function parseRejoinRequest(value: Record<string, unknown>): RejoinRequest | undefined {
  const { requestId, retired, publicKey, proof } = value;
  if (!isText(requestId, 64) || !isReplicaId(retired) || !isText(publicKey, 256) || !isText(proof, 256))
    return undefined;
  return { method: 'rejoin', requestId, retired: toReplicaId(retired), publicKey, proof };
}

/** Undefined for anything that is not an answer. */
export function parseRpcAnswer(payload: Uint8Array): RpcAnswer | undefined {
  const value = parseRecord(payload);
  switch (value?.['kind']) {
    case 'probe':
      return parseProbeAnswer(value);
    case 'joined':
      return parseJoinAnswer(value);
    case 'applied':
      return typeof value['index'] === 'number' && isText(value['result'], 1 << 20)
        ? { kind: 'applied', index: value['index'], result: value['result'] }
        : undefined;
    case 'ca-key':
      return isText(value['caKey'], 4096) ? { kind: 'ca-key', caKey: value['caKey'] } : undefined;
    case 'read-index':
      return Number.isSafeInteger(value['index'])
        ? { kind: 'read-index', index: Number(value['index']) }
        : undefined;
    case 'transferred':
      return isReplicaId(value['leader'])
        ? { kind: 'transferred', leader: toReplicaId(value['leader']) }
        : undefined;
    case 'not-leader':
      return {
        kind: 'not-leader',
        leader: isReplicaId(value['leader']) ? toReplicaId(value['leader']) : null,
      };
    case 'uncertain':
      return { kind: 'uncertain' };
    case 'refused':
      return parseRefused(value['refusal']);
    default:
      return undefined;
  }
}

function parseProbeAnswer(value: Record<string, unknown>): ProbeAnswer | undefined {
  const { state, clusterId, epoch, address, peers, isLeader, leader, missing } = value;
  if ((state !== 'initialising' && state !== 'founding' && state !== 'member') || !isText(clusterId, 64))
    return undefined;
  const ip = isText(address, 64) ? parseIp(address) : undefined;
  if (ip === undefined || typeof epoch !== 'number' || typeof isLeader !== 'boolean') return undefined;
  if (!isTexts(peers) || !isTexts(missing)) return undefined;
  return {
    kind: 'probe',
    state,
    clusterId,
    epoch,
    address: ip,
    peers: peers.map(parseIp).filter((peer) => peer !== undefined),
    isLeader,
    leader: parseEndpoint(leader) ?? null,
    missing,
  };
}

function parseJoinAnswer(value: Record<string, unknown>): JoinAnswer | undefined {
  const { clusterId, epoch, replicaId, nodeCert, caCert, known } = value;
  if (!isText(clusterId, 64) || !isText(nodeCert, 8192) || !isText(caCert, 8192)) return undefined;
  const members = parseKnownMembers(known);
  if (typeof epoch !== 'number' || !isReplicaId(replicaId) || members === undefined) return undefined;
  return {
    kind: 'joined',
    clusterId,
    epoch,
    replicaId: toReplicaId(replicaId),
    nodeCert,
    caCert,
    known: members,
  };
}

function parseRefused(value: unknown): RefusedAnswer | undefined {
  if (!isRecord(value)) return undefined;
  const { code, exitCode, text, fix } = value;
  if (!isText(code, 64) || !isText(text, 1024) || !isText(fix, 1024) || !isExitCode(exitCode))
    return undefined;
  return { kind: 'refused', refusal: { code, exitCode, text, fix } };
}

function parseEndpoint(value: unknown): Endpoint | undefined {
  if (!isRecord(value)) return undefined;
  const { host, port } = value;
  return isText(host, 64) && isPort(port) ? { host, port } : undefined;
}

function parseRecord(payload: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= 1024 && value.every((item) => isText(item, 255));
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function isExitCode(value: unknown): value is ExitCode {
  return Object.values<unknown>(EXIT).includes(value);
}
