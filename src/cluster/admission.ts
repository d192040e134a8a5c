/**
 * The leader's side of a join: checks the secret, the proof of possession and the address, gets the host into the log,
 * and signs its certificate. A member that comes back after damage needs no secret: its key is on record. The names in the certificate are the log's, nothing of the joiner's wording. Owns no state:
 * what a token still allows is decided again when the entry is applied.
 */
import { createPublicKey, verify } from 'node:crypto';
import type { ReplicaId } from '../../raft/core/types.ts';
import type { Caller } from '../../raft/transport/session.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { ClusterTime, NodeId } from '../subnet/lease.ts';
import { type Member, nodeIdOf } from '../subnet/member.ts';
import type { ClusterState } from '../subnet/state.ts';
import { checkToken, secretMatches } from '../subnet/token.ts';
import { issue } from './certificate-authority.ts';
import type { KnownMember } from './cluster-file.ts';
import type { Attempt, Proposal } from './proposer.ts';
import {
  JOIN_EXPORTER_BYTES,
  JOIN_EXPORTER_LABEL,
  type JoinAnswer,
  type JoinRequest,
  proofMessage,
  type RejoinRequest,
} from './rpc.ts';

export interface AdmissionParts {
  readonly state: ClusterState;
  readonly now: ClusterTime;
  readonly caCert: string;
  /** Null on a voter that has not been handed the key yet. */
  readonly caKey: string | null;
  /** Where the joiner finds the voters. */
  readonly voters: readonly KnownMember[];
  /** Does the replica still speak to this one? */
  isHeard(replica: ReplicaId): boolean;
  proposeHere(proposal: Proposal): Promise<Attempt>;
}

export type Admission =
  | JoinAnswer
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'again' };

export async function admit(parts: AdmissionParts, request: JoinRequest, caller: Caller): Promise<Admission> {
  const refusal = check(parts, request, caller);
  if (refusal !== null) return { kind: 'refused', refusal };
  return await enter(parts, joinProposal(request));
}

/** Whoever holds the key is the member, and what the replica it was has promised is retired by the entry. */
export async function readmit(
  parts: AdmissionParts,
  request: RejoinRequest,
  caller: Caller,
): Promise<Admission> {
  const { requestId, retired, publicKey } = request;
  const nodeId = nodeIdOf(publicKey);
  const member = parts.state.members.get(nodeId);
  if (!provesPossession(request, caller)) return { kind: 'refused', refusal: noProof() };
  if (member === undefined) return { kind: 'refused', refusal: noMember(nodeId) };
  if (member.replicaId === retired && parts.isHeard(retired))
    return { kind: 'refused', refusal: stillRuns(member) };
  return await enter(parts, { kind: 'rejoin', requestId, nodeId, retired });
}

async function enter(parts: AdmissionParts, proposal: Proposal): Promise<Admission> {
  if (parts.caKey === null) return { kind: 'again' };
  const attempt = await parts.proposeHere(proposal);
  if (attempt.kind === 'again') return attempt;
  if (attempt.result.kind === 'refused') return attempt.result;
  if (attempt.result.kind !== 'joined') return { kind: 'again' };
  const { clusterId, epoch, member } = attempt.result;
  const { caCert, caKey } = parts;
  const names = { clusterId, epoch, nodeId: member.nodeId, replicaId: member.replicaId };
  const nodeCert = await issue({ caCert, caKey, publicKey: member.publicKey, names });
  return {
    kind: 'joined',
    clusterId,
    epoch,
    replicaId: member.replicaId,
    nodeCert,
    caCert,
    known: parts.voters,
  };
}

/** Null when the host may be proposed. */
function check(parts: AdmissionParts, request: JoinRequest, caller: Caller): Refusal | null {
  const token = parts.state.tokens.get(request.tokenId);
  // A join that was applied and whose answer was lost must not fail because it has used the token up.
  const isRepeated = parts.state.answers.some((answer) => answer.requestId === request.requestId);
  const checked =
    isRepeated && token !== undefined ? { ok: true as const, token } : checkToken(token, parts.now);
  if (!checked.ok) return checked.refusal;
  if (!secretMatches(checked.token, request.secret)) return wrongSecret(request.tokenId);
  if (!provesPossession(request, caller)) return noProof();
  if (request.role === 'voter' && checked.token.role !== 'voter') return learnersOnly(request.tokenId);
  const holder = [...parts.state.members.values()].find((member) => member.address === request.address);
  if (holder !== undefined && holder.publicKey !== request.publicKey) return addressTaken(holder);
  if (caller.remoteAddress !== request.address) return otherAddress(request, caller);
  return null;
}

/** The key's holder signed the exporter value of this very connection. */
function provesPossession(request: JoinRequest | RejoinRequest, caller: Caller): boolean {
  const exported = caller.exportKeyingMaterial(JOIN_EXPORTER_LABEL, JOIN_EXPORTER_BYTES);
  try {
    const key = createPublicKey({
      key: Buffer.from(request.publicKey, 'base64'),
      format: 'der',
      type: 'spki',
    });
    if (key.asymmetricKeyType !== 'ed25519') return false;
    return verify(
      null,
      proofMessage(request.method, exported, request.requestId),
      key,
      Buffer.from(request.proof, 'base64'),
    );
  } catch {
    return false; // not a key, not a signature
  }
}

function joinProposal(request: JoinRequest): Proposal {
  const { requestId, tokenId, publicKey, name, address, port, role } = request;
  const wantsVoter = role === null ? null : role === 'voter';
  return {
    kind: 'join',
    requestId,
    tokenId,
    nodeId: nodeIdOf(publicKey),
    publicKey,
    name,
    address,
    port,
    wantsVoter,
  };
}

function wrongSecret(tokenId: string): Refusal {
  return refuse(
    'wrong-secret',
    EXIT.refused,
    `The secret of token ${tokenId} is wrong.`,
    'Copy the whole token, or make a new one with "tsflannel token create" on a voter.',
  );
}

function noProof(): Refusal {
  return refuse(
    'no-proof',
    EXIT.refused,
    'The host did not prove that it holds the key that it wants to join with.',
    'Run "tsflannel join" on the host itself, with nothing between it and the cluster that ends TLS.',
  );
}

function noMember(nodeId: NodeId): Refusal {
  return refuse(
    'not-a-member',
    EXIT.refused,
    `Host ${nodeId} is not a member of the cluster any more.`,
    'Join it anew: "tsflannel down --purge", then "tsflannel join TOKEN ADDR".',
  );
}

function stillRuns({ name, replicaId }: Member): Refusal {
  return refuse(
    'still-running',
    EXIT.conflict,
    `Replica ${replicaId} of host ${name} still runs: a member comes back only when it has gone.`,
    'Where two hosts run from copies of one data directory, stop one and run "tsflannel down --purge" on it.',
  );
}

function learnersOnly(tokenId: string): Refusal {
  return refuse(
    'learners-only',
    EXIT.refused,
    `Token ${tokenId} admits learners only, and the host asked for --voter.`,
    'Use a token of "tsflannel token create --role voter", or join without --voter.',
  );
}

function addressTaken({ name, address }: Member): Refusal {
  return refuse(
    'address-taken',
    EXIT.conflict,
    `The address ${address} is that of member ${name}.`,
    'Give this host an address of its own with --iface or --public-ip, or run "tsflannel leave" on the other first.',
  );
}

function otherAddress(request: JoinRequest, caller: Caller): Refusal {
  return refuse(
    'other-address',
    EXIT.refused,
    `The host announces ${request.address} and speaks from ${caller.remoteAddress}.`,
    'Give --iface or --public-ip with the address that the other hosts see.',
  );
}
