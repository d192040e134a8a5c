/**
 * The joiner's side: finds the leader through the hosts it was told, makes sure that each of them belongs to the
 * cluster of the token before it says anything, and only then shows the secret, to the leader alone. A member that comes
 * back knows its cluster's CA and needs no secret. Keeps trying until
 * the deadline, under one request id, so that a lost answer never makes two members of one host.
 */

import { sign, type X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicaId } from '../../raft/core/types.ts';
import { type AnonymousSession, connectAnonymous } from '../../raft/transport/anonymous.ts';
import { TransportError } from '../../raft/transport/errors.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { deadline } from '../deadline.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Identity } from './identity.ts';
import {
  encodeRpc,
  JOIN_EXPORTER_BYTES,
  JOIN_EXPORTER_LABEL,
  type JoinAnswer,
  type JoinRequest,
  type ProbeAnswer,
  parseRpcAnswer,
  proofMessage,
  type RejoinRequest,
  type RpcAnswer,
  type RpcRequest,
} from './rpc.ts';
import { certificateDigest, type JoinToken } from './token.ts';

/** Where this host speaks from, and what it announces; the same unless there is NAT. */
export interface OwnAddress {
  readonly local: Ip;
  readonly announced: Ip;
}

/** How a host comes into a cluster, by whichever request. */
interface Entry {
  readonly contacts: readonly Endpoint[];
  readonly identity: Identity;
  readonly requestId: string;
  /** Null where this host has no address of the family. */
  readonly own: (family: Family) => OwnAddress | null;
  /** Is that the CA of the cluster that is meant? */
  readonly trusts: (ca: X509Certificate) => boolean;
  /** A last look at whose cluster it is, before the request is shown. */
  readonly accepts: (probe: ProbeAnswer) => Refusal | null;
  readonly request: (session: AnonymousSession, own: OwnAddress) => JoinRequest | RejoinRequest;
}

export interface JoinParameters extends Omit<Entry, 'trusts' | 'request'> {
  readonly token: JoinToken;
  readonly name: string;
  readonly port: number;
  readonly role: 'voter' | 'learner' | null;
}

export interface RejoinParameters extends Omit<Entry, 'trusts' | 'request' | 'accepts' | 'requestId'> {
  /** Of the cluster, as this host knows it. */
  readonly caCert: X509Certificate;
  /** The replica that it was. */
  readonly retired: ReplicaId;
}

/** The code of the refusal after which a join may have happened all the same. */
export const NO_ANSWER = 'no-answer';
/** The code of the refusal of a host that is not of the token's cluster. */
export const WRONG_CLUSTER = 'wrong-cluster';
const RETRY_MS = 200;
/** A host that does not answer must not use up the time for the others. */
const ATTEMPT_MS = 2_000;

/** Throws TsflannelError: wrong cluster or secret (6), conflict (7), nobody answered (8), no leader (4). */
export async function joinCluster(parameters: JoinParameters, signal: AbortSignal): Promise<JoinAnswer> {
  const { token } = parameters;
  const entry: Entry = {
    ...parameters,
    trusts: (ca) => certificateDigest(ca.raw) === token.caDigest,
    request: (session, own) => joinRequest(parameters, session, own),
  };
  return await enter(entry, signal);
}

/** The same under a new replica id, for a member whose database is damaged. Throws as joinCluster does. */
export async function rejoinCluster(parameters: RejoinParameters, signal: AbortSignal): Promise<JoinAnswer> {
  const { caCert, retired, identity } = parameters;
  // The same for every attempt to replace this replica, also after a restart: a lost answer is found again.
  const requestId = `rejoin-${retired}`;
  const entry: Entry = {
    ...parameters,
    requestId,
    accepts: () => null,
    trusts: (ca) => ca.raw.equals(caCert.raw),
    request: (session) => ({
      method: 'rejoin',
      requestId,
      retired,
      ...proofOf('rejoin', identity, requestId, session),
    }),
  };
  return await enter(entry, signal);
}

async function enter(parameters: Entry, signal: AbortSignal): Promise<JoinAnswer> {
  let last: Refusal = nobodyListens(parameters.contacts);
  while (!signal.aborted) {
    for (const contact of parameters.contacts) {
      const outcome = await attempt(parameters, contact, signal);
      if (outcome.kind === 'joined') return outcome;
      if (outcome.kind === 'final') throw new TsflannelError(outcome.refusal);
      // What a member said of the cluster says more than the silence of another host.
      if (outcome.refusal.code !== 'nobody-listens') last = outcome.refusal;
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
  throw new TsflannelError(last);
}

type Outcome =
  | JoinAnswer
  | { readonly kind: 'final'; readonly refusal: Refusal }
  | { readonly kind: 'again'; readonly refusal: Refusal };

async function attempt(parameters: Entry, contact: Endpoint, signal: AbortSignal): Promise<Outcome> {
  const first = await withSession(parameters, contact, signal, async (session, own, attemptSignal) => {
    const probe = await ask(session, { method: 'probe' }, attemptSignal);
    if (probe?.kind !== 'probe') return unclear(contact);
    const refusal = parameters.accepts(probe);
    if (refusal !== null) return { kind: 'final' as const, refusal };
    return probe.isLeader ? await askToJoin(parameters, session, own, contact, signal) : probe;
  });
  if (first.kind !== 'probe') return first;
  if (first.leader === null) return { kind: 'again', refusal: noQuorum(first, contact) };
  const leader = first.leader;
  return await withSession(parameters, leader, signal, (session, own) =>
    askToJoin(parameters, session, own, leader, signal),
  );
}

async function askToJoin(
  parameters: Entry,
  session: AnonymousSession,
  own: OwnAddress,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Outcome> {
  const answer = await ask(session, parameters.request(session, own), signal);
  switch (answer?.kind) {
    case 'joined':
      return answer;
    case 'refused': {
      const again = answer.refusal.exitCode === EXIT.noQuorum;
      return { kind: again ? 'again' : 'final', refusal: answer.refusal };
    }
    default:
      return unclear(endpoint);
  }
}

function joinRequest(parameters: JoinParameters, session: AnonymousSession, own: OwnAddress): JoinRequest {
  const { identity, requestId } = parameters;
  return {
    method: 'join',
    requestId,
    tokenId: parameters.token.id,
    secret: parameters.token.secret,
    ...proofOf('join', identity, requestId, session),
    name: parameters.name,
    address: own.announced,
    port: parameters.port,
    role: parameters.role,
  };
}

function proofOf(
  method: 'join' | 'rejoin',
  { publicKey, privateKey }: Identity,
  requestId: string,
  session: AnonymousSession,
): Pick<JoinRequest, 'publicKey' | 'proof'> {
  const exported = session.exportKeyingMaterial(JOIN_EXPORTER_LABEL, JOIN_EXPORTER_BYTES);
  const proof = sign(null, proofMessage(method, exported, requestId), privateKey);
  return { publicKey: publicKey.toString('base64'), proof: proof.toString('base64') };
}

async function ask(
  session: AnonymousSession,
  request: RpcRequest,
  signal: AbortSignal,
): Promise<RpcAnswer | undefined> {
  return parseRpcAnswer(await session.request(encodeRpc(request), { signal }));
}

/** Opens a session to a host that has proven to belong to the cluster that is meant, and always closes it. */
async function withSession<T>(
  parameters: Entry,
  endpoint: Endpoint,
  signal: AbortSignal,
  use: (session: AnonymousSession, own: OwnAddress, attemptSignal: AbortSignal) => Promise<T>,
): Promise<T | { readonly kind: 'final' | 'again'; readonly refusal: Refusal }> {
  const own = parameters.own(endpoint.host.includes(':') ? 6 : 4);
  if (own === null) return { kind: 'again', refusal: noAddress(endpoint) };
  const attemptSignal = deadline(ATTEMPT_MS, signal);
  const verify = (_leaf: X509Certificate, ca: X509Certificate | null): boolean =>
    ca !== null && parameters.trusts(ca);
  let session: AnonymousSession;
  try {
    const { local: localAddress } = own;
    session = await connectAnonymous(endpoint, { verify, signal: attemptSignal, localAddress });
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    if (error.code === 'untrusted') return { kind: 'final', refusal: otherCluster(endpoint) };
    return { kind: 'again', refusal: nobodyListens([endpoint]) };
  }
  try {
    return await use(session, own, attemptSignal);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return unclear(endpoint);
  } finally {
    session.close();
  }
}

/** The request may have been carried out: only its repetition tells. */
function unclear(endpoint: Endpoint): { kind: 'again'; refusal: Refusal } {
  const refusal = refuse(
    NO_ANSWER,
    EXIT.timeout,
    `The host at ${formatEndpoint(endpoint)} did not answer the join.`,
    'Run the same command again: it goes on with the same join.',
  );
  return { kind: 'again', refusal };
}

function noQuorum(probe: ProbeAnswer, contact: Endpoint): Refusal {
  const missing = probe.missing.length === 0 ? '' : `; it does not hear ${probe.missing.join(', ')}`;
  return refuse(
    'no-quorum',
    EXIT.noQuorum,
    `The cluster behind ${formatEndpoint(contact)} has no leader${missing}.`,
    'Bring the missing hosts back, then join again.',
  );
}

function nobodyListens(endpoints: readonly Endpoint[]): Refusal {
  return refuse(
    'nobody-listens',
    EXIT.timeout,
    `No agent answered at ${endpoints.map(formatEndpoint).join(', ')}.`,
    'Check the address, that the agent runs there, and that TCP and UDP on its port are open.',
  );
}

function noAddress(endpoint: Endpoint): Refusal {
  const family = endpoint.host.includes(':') ? 'IPv6' : 'IPv4';
  return refuse(
    'no-address',
    EXIT.usage,
    `The interface of this host has no ${family} address to reach ${formatEndpoint(endpoint)} from.`,
    'Give it one, or name another interface with --iface.',
  );
}

function otherCluster(endpoint: Endpoint): Refusal {
  return refuse(
    WRONG_CLUSTER,
    EXIT.refused,
    `The host at ${formatEndpoint(endpoint)} does not belong to the cluster of this token.`,
    'Take a token from "tsflannel token create" on a voter of the cluster that you mean.',
  );
}

export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
