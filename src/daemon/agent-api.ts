/**
 * What the agent answers to the command line. Reads are local and need no quorum; changes go through the log, and only
 * from a host that votes. Holds no state of its own.
 */

import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Replica } from '../cluster/replica.ts';
import { certificateDigest, formatToken, joinLine, newTokenSecret } from '../cluster/token.ts';
import type { AgentApi, Call } from '../control/agent-api.ts';
import type {
  CreatedToken,
  LeaseEntry,
  LocalRead,
  Member,
  RouteEntry,
  SavedState,
  TokenEntry,
} from '../control/answers.ts';
import type { TokenCreateParams } from '../control/protocol.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { ipFamily } from '../net/ip.ts';
import { isReached, type WaitTarget } from '../observe/health.ts';
import { buildStatus, type Status } from '../observe/status.ts';
import { subnetsOf } from '../subnet/lease.ts';
import type { Member as MemberRecord } from '../subnet/member.ts';
import { type ClusterState, encodeState, memberByReplica, ownLease } from '../subnet/state.ts';
import { hashSecret, type Token } from '../subnet/token.ts';
import { type FactSources, gatherFacts, nodeRef, wallClock } from './facts.ts';
import { leaveCluster } from './leave.ts';
import { change } from './log-change.ts';
import { changeRole, removeMember, transferLeader } from './member-changes.ts';

export interface ApiParts {
  readonly sources: () => FactSources;
  readonly stop: () => void;
  /** The lease is given back and the membership record is gone: the membership is to be forgotten after the stop. */
  readonly left: () => void;
}

/** Between looks at what is waited for. */
const POLL_MS = 20;

export function agentApi(parts: ApiParts): AgentApi {
  const replica = (): Replica => {
    const one = parts.sources().replica;
    if (one === null) throw new TsflannelError(noReplica(parts.sources()));
    return one;
  };
  const state = (): ClusterState => {
    const one = replica().state;
    if (one === null) throw new TsflannelError(replica().noQuorum());
    return one;
  };
  const local = <T>(data: T): LocalRead<T> => ({ data, staleMs: replica().staleMs() });
  return {
    version: async () => ({ version: gatherFacts(parts.sources()).version, pid: process.pid }),
    status: async () => buildStatus(gatherFacts(parts.sources())),
    wait: async ({ target }, call) => await waitFor(parts, target, call),
    members: async () => local(memberEntries(replica(), state())),
    leases: async () => local(leaseEntries(replica(), state())),
    routes: async () => routeEntries(parts.sources()),
    configGet: async () => local({ revision: state().configRevision, config: state().config }),
    tokenCreate: async (params, call) => {
      requireVoter(replica());
      return await createToken(parts.sources(), replica(), params, call);
    },
    tokenList: async () => local(tokenEntries(replica(), state())),
    tokenRevoke: async ({ id }, call) => {
      requireVoter(replica());
      await change(replica(), { kind: 'token-revoke', tokenId: id }, 'token-revoked', call);
      return { id };
    },
    snapshotSave: async () => local(savedState(parts.sources(), replica(), state())),
    memberRole: async ({ node, role }, call) => {
      requireVoter(replica());
      return await changeRole(replica(), node, role, call);
    },
    memberRemove: async ({ node, yes }, call) => {
      requireVoter(replica());
      return await removeMember(replica(), node, yes, call);
    },
    transferLeader: async ({ node }, call) => {
      requireVoter(replica());
      return await transferLeader(replica(), node, call);
    },
    leave: async ({ yes }, call) => {
      const left = await leaveCluster(parts.sources(), replica(), yes, call.signal);
      parts.left();
      parts.stop();
      return left;
    },
    shutdown: async () => {
      parts.stop();
      return {};
    },
  };
}

async function waitFor(parts: ApiParts, target: WaitTarget, { signal }: Call): Promise<Status> {
  for (;;) {
    const facts = gatherFacts(parts.sources());
    // Docker, which waits for the lease, reads it from the file.
    const hasFile = target !== 'lease' || parts.sources().dataPlane.subnetFileWritten;
    const isProven = target !== 'quorum' || (await provesQuorum(parts.sources(), signal));
    if (hasFile && isProven && isReached(target, facts)) return buildStatus(facts);
    if (signal.aborted) throw new TsflannelError(notReached(parts.sources(), target));
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
}

/** A leader that is cut off believes in itself for a while: only a quorum that answers is one. */
async function provesQuorum({ replica }: FactSources, signal: AbortSignal): Promise<boolean> {
  if (replica === null) return false;
  return await replica.readBarrier(signal).then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof TsflannelError)) throw error;
      return false;
    },
  );
}

/** The leader would refuse it as well; here the sentence can name who may. Throws TsflannelError (exit 6). */
function requireVoter(replica: Replica): void {
  const { configuration } = replica.raft;
  if (configuration.voters.includes(replica.id)) return;
  const { state } = replica;
  const names =
    state === null ? [] : configuration.voters.flatMap((voter) => memberByReplica(state, voter)?.name ?? []);
  throw new TsflannelError(
    refuse(
      'not-a-voter',
      EXIT.refused,
      'This host does not vote, and only voters change the cluster.',
      `Run the command on ${names.join(' or ') || 'a voter'}.`,
    ),
  );
}

async function createToken(
  sources: FactSources,
  replica: Replica,
  { role, ttlMs, uses }: TokenCreateParams,
  call: Call,
): Promise<CreatedToken> {
  const { id, secret } = newTokenSecret();
  const grant = { id, secretHash: hashSecret(secret), role, ttlMs, usesMax: uses };
  const { token } = await change(replica, { kind: 'token-create', token: grant }, 'token-created', call);
  const caDigest = certificateDigest(new X509Certificate(sources.membership.caCert).raw);
  const text = formatToken({ id, caDigest, secret });
  return { ...tokenEntry(replica, token), token: text, joinCommand: joinCommand(sources, text) };
}

export function joinCommand({ replica, nodeId, agent }: FactSources, token: string): string {
  const ip = replica?.state?.members.get(nodeId)?.address;
  return ip === undefined ? `tsflannel join ${token} ADDRESS` : joinLine(token, ip, agent.port);
}

function memberEntries(replica: Replica, state: ClusterState): readonly Member[] {
  const { configuration, leader, progress, last } = replica.raft;
  const contact = new Map(replica.peers().map((peer) => [peer.replica, peer.lastHeardMs]));
  return [...state.members.values()].map((member) => ({
    id: member.nodeId,
    name: member.name,
    ...publicAddresses(state, member),
    role: configuration.voters.includes(member.replicaId) ? 'voter' : 'learner',
    leader: member.replicaId === leader,
    lastContactMs: member.replicaId === replica.id ? 0 : (contact.get(member.replicaId) ?? null),
    matchIndex:
      member.replicaId === replica.id ? last.index : (progress.get(member.replicaId)?.match ?? null),
  }));
}

/** Where it speaks from, and what its lease says of the other family. */
function publicAddresses(
  state: ClusterState,
  { nodeId, address }: MemberRecord,
): Pick<Member, 'publicIp' | 'publicIpv6'> {
  const attributes = ownLease(state, nodeId)?.attributes;
  return ipFamily(address) === 4
    ? { publicIp: address, publicIpv6: attributes?.publicIpv6 ?? null }
    : { publicIp: attributes?.publicIp ?? null, publicIpv6: address };
}

function leaseEntries(replica: Replica, state: ClusterState): readonly LeaseEntry[] {
  return [...state.leases.values()].map((lease) => ({
    subnet: lease.subnet,
    ipv6Subnet: lease.ipv6Subnet,
    nodeId: lease.nodeId,
    nodeName: nodeRef(replica, lease.nodeId).name,
    publicIp: lease.attributes.publicIp,
    publicIpv6: lease.attributes.publicIpv6,
    backendType: lease.attributes.backendType,
    backendData: lease.attributes.backendData,
    backendV6Data: lease.attributes.backendV6Data ?? null,
    expiresAt: wallClock(lease.expiresAt, replica.clusterTime),
    reserved: subnetsOf(lease).some((subnet) => state.reservations.get(subnet) === lease.nodeId),
    state: lease.state,
  }));
}

async function routeEntries({ dataPlane, replica }: FactSources): Promise<readonly RouteEntry[]> {
  const names = new Map<string, string>(
    (dataPlane.snapshot?.peers ?? []).flatMap((peer) => {
      const name = replica === null ? peer.nodeId.slice(0, 8) : nodeRef(replica, peer.nodeId).name;
      return subnetsOf(peer).map((subnet) => [subnet, name] as const);
    }),
  );
  return (await dataPlane.routes()).map((route) => ({ ...route, peer: names.get(route.dst) ?? null }));
}

function savedState({ nodeId }: FactSources, { raft }: Replica, state: ClusterState): SavedState {
  const { term, configuration } = raft;
  return {
    nodeId,
    term,
    voters: configuration.voters,
    state: JSON.parse(Buffer.from(encodeState(state)).toString()),
  };
}

function tokenEntries(replica: Replica, state: ClusterState): readonly TokenEntry[] {
  return [...state.tokens.values()]
    .filter((token) => !token.revoked)
    .map((token) => tokenEntry(replica, token));
}

function tokenEntry(replica: Replica, { id, role, expiresAt, usesMax, uses }: Token): TokenEntry {
  const usesLeft = usesMax === null ? null : usesMax - uses;
  return { id, role, expiresAt: wallClock(expiresAt, replica.clusterTime), usesLeft };
}

function notReached({ replica, watcher }: FactSources, target: WaitTarget): ReturnType<typeof refuse> {
  if (replica !== null && (target === 'quorum' || replica.raft.leader === null)) return replica.noQuorum();
  return (
    watcher.refusal ??
    refuse(
      'not-reached',
      EXIT.timeout,
      `The agent did not reach "${target}" in time.`,
      'See what is missing with "tsflannel status", or wait longer with --timeout.',
    )
  );
}

/** With what the damage asks for. */
function noReplica({ problems }: FactSources): Refusal {
  const fix = problems[0]?.fix ?? 'See "tsflannel status".';
  return refuse('raft-not-running', EXIT.failed, 'The replica of this host is not running.', fix);
}
