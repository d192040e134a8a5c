/**
 * `join`: makes this host a member of a cluster and runs its agent. Marks the membership unfinished, under one request
 * id, before anything that the cluster can see, so that a repetition is the same join; a refusal takes everything back,
 * in the cluster too. On a host that is a member already it only runs the agent.
 */

import { randomUUID, X509Certificate } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { EMPTY_STATE } from '../../raft/core/bootstrap.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import type { JoinOptions, Ready, Running } from '../cli/launcher.ts';
import {
  loadClusterFile,
  type Membership,
  saveCaKey,
  saveClusterFile,
  type UnfinishedMembership,
} from '../cluster/cluster-file.ts';
import {
  createIdentity,
  type Identity,
  loadIdentity,
  removeIdentity,
  saveIdentity,
} from '../cluster/identity.ts';
import { type JoinParameters, joinCluster, NO_ANSWER, WRONG_CLUSTER } from '../cluster/join.ts';
import type { Replica } from '../cluster/replica.ts';
import type { JoinAnswer, ProbeAnswer } from '../cluster/rpc.ts';
import { certificateDigest, type JoinToken, parseToken } from '../cluster/token.ts';
import { writeFileAtomic } from '../config/atomic-file.ts';
import { DEFAULT_PORT } from '../config/ports.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import { FAMILIES } from '../net/ip.ts';
import { ownAddress } from '../path/interface-selection.ts';
import { raftFiles } from './directories.ts';
import { requestLease } from './lease-request.ts';
import {
  forgetMembership,
  inAnotherCluster,
  readyFacts,
  runAgent,
  running,
  startMember,
} from './member-start.ts';
import { startReplica } from './replica-start.ts';
import { openWorkplace, type Workplace } from './workplace.ts';

export async function joinExisting(options: JoinOptions): Promise<Running<Ready>> {
  const token = parseToken(options.token);
  if (token === undefined) throw new TsflannelError(notAToken());
  const workplace = await openWorkplace(options, {
    joins: options.contacts[0]?.ip ?? null,
    peers: [],
    families: FAMILIES,
  });
  try {
    const file = await loadClusterFile(options.dataDir);
    const stored = await loadIdentity(options.dataDir);
    if (file?.state === 'member') {
      if (stored === null) throw identityMissing(options.dataDir);
      if (!isOfEpoch(token, file)) return await enterNewerEpoch(workplace, options, token, stored, file);
      if (await isDamaged(options.dataDir, file)) return await rejoin(workplace, options, token, stored);
      const agent = await startMember(workplace, stored, file);
      return running(agent, async () => readyFacts(agent, workplace));
    }
    const unfinished = file?.state === 'unfinished' && file.command === 'join' ? file : null;
    return await enter(workplace, options, token, stored, unfinished);
  } catch (error) {
    await workplace.close();
    throw error;
  }
}

async function enter(
  workplace: Workplace,
  options: JoinOptions,
  token: JoinToken,
  stored: Identity | null,
  unfinished: UnfinishedMembership | null,
): Promise<Running<Ready>> {
  const { dataDir } = options;
  workplace.watcher.require();
  await workplace.firewall.check();
  const identity = stored ?? createIdentity();
  const requestId = unfinished?.requestId ?? randomUUID();
  await saveIdentity(dataDir, identity);
  await saveClusterFile(dataDir, { state: 'unfinished', command: 'join', clusterId: '', requestId });
  const signal = AbortSignal.timeout(options.timeoutMs);
  let answer: JoinAnswer;
  try {
    answer = await ask(workplace, options, token, identity, requestId, signal);
  } catch (error) {
    // Without an answer the join may have been applied: then only the request id finds it again.
    // One that may have been applied before this start is only undone by the cluster's own word.
    if (isFinal(error) && (unfinished === null || isRefusal(error))) await takeBack(dataDir, stored);
    throw error;
  }
  const membership = membershipOf(answer);
  const replica = await startJoinedReplica(workplace, identity, membership);
  try {
    await settle(workplace, options, identity, replica, requestId, signal);
    await saveClusterFile(dataDir, membership);
  } catch (error) {
    if (isFinal(error)) await withdraw(workplace, identity, replica, stored);
    else await replica.close();
    throw error;
  }
  const agent = await runAgent(workplace, identity, membership, replica);
  return running(agent, async () => readyFacts(agent, workplace));
}

/**
 * After a recovery the cluster goes on in a newer epoch, with a CA of its own. A member of the old one comes over as it
 * would with a damaged database: what it holds of the old epoch counts until the new one has taken it in.
 */
async function enterNewerEpoch(
  workplace: Workplace,
  options: JoinOptions,
  token: JoinToken,
  identity: Identity,
  { clusterId, epoch }: Membership,
): Promise<Running<Ready>> {
  const accepts = (probe: ProbeAnswer): Refusal | null => {
    if (probe.clusterId !== clusterId) return inAnotherCluster(clusterId, options.dataDir).refusal;
    return probe.epoch > epoch ? null : notNewer(probe.epoch, epoch);
  };
  try {
    return await rejoin(workplace, options, token, identity, accepts);
  } catch (error) {
    // Whatever the token is of, it is not the host that was asked.
    if (!(error instanceof TsflannelError) || error.refusal.code !== WRONG_CLUSTER) throw error;
    throw inAnotherCluster(clusterId, options.dataDir);
  }
}

/**
 * A member whose database cannot be believed comes back under a new replica id: what the old one promised is retired
 * with it. Node id and lease stay. Nothing on this host changes before the cluster has agreed.
 */
async function rejoin(
  workplace: Workplace,
  options: JoinOptions,
  token: JoinToken,
  identity: Identity,
  accepts?: JoinParameters['accepts'],
): Promise<Running<Ready>> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  const requestId = randomUUID();
  const answer = await ask(workplace, options, token, identity, requestId, signal, accepts);
  const membership = membershipOf(answer);
  const replica = await startJoinedReplica(workplace, identity, membership);
  try {
    await settle(workplace, options, identity, replica, requestId, signal);
    await saveCaKey(options.dataDir, membership.epoch, null);
    await saveClusterFile(options.dataDir, membership);
  } catch (error) {
    await replica.close();
    throw error;
  }
  const agent = await runAgent(workplace, identity, membership, replica);
  return running(agent, async () => readyFacts(agent, workplace));
}

async function isDamaged(dataDir: string, { clusterId, epoch, replicaId }: Membership): Promise<boolean> {
  try {
    await using storage = await LevelStorage.open(raftFiles(dataDir, epoch).database, {
      cluster: clusterId,
      replica: replicaId,
    });
    await storage.load();
    return false;
  } catch (error) {
    if (error instanceof StorageDamagedError) return true;
    throw error;
  }
}

async function ask(
  workplace: Workplace,
  options: JoinOptions,
  token: JoinToken,
  identity: Identity,
  requestId: string,
  signal: AbortSignal,
  accepts: JoinParameters['accepts'] = () => null,
): Promise<JoinAnswer> {
  const selection = workplace.watcher.require();
  const contacts = options.contacts.map(({ ip, port }) => ({ host: ip, port: port ?? DEFAULT_PORT }));
  const { name, port } = workplace.options;
  const { role } = options;
  return await joinCluster(
    {
      token,
      contacts,
      identity,
      requestId,
      name,
      own: (family) => ownAddress(selection, family),
      port,
      role,
      accepts,
    },
    signal,
  );
}

/** The log has arrived, nothing on this host is in the way of its network, and the lease is ours. */
async function settle(
  workplace: Workplace,
  options: JoinOptions,
  identity: Identity,
  replica: Replica,
  requestId: string,
  signal: AbortSignal,
): Promise<void> {
  // A request of its own, under a name that a repetition of this join finds again.
  const request = { id: `lease-${requestId}`, wanted: options.subnets };
  const refusal = await requestLease(workplace, identity, replica, request, signal);
  if (refusal !== null) throw new TsflannelError(refusal);
}

async function startJoinedReplica(
  workplace: Workplace,
  identity: Identity,
  membership: Membership,
): Promise<Replica> {
  const storage = await openJoinedStorage(workplace.start.dataDir, membership);
  return await startReplica({ workplace, identity, membership, caKey: null, founding: null, storage });
}

/**
 * The database of this very replica id is kept, also half-written: it may hold a vote or an acknowledgement that the
 * cluster counts on. One of another id is of an earlier attempt, and that id is never used again.
 */
async function openJoinedStorage(dataDir: string, membership: Membership): Promise<LevelStorage> {
  const { database, owner } = raftFiles(dataDir, membership.epoch);
  const names = { cluster: membership.clusterId, replica: membership.replicaId };
  const owned = await readFile(owner, 'utf8').catch(() => null); // none: no database was ever made here
  const name = `${names.cluster} ${names.replica}`;
  if (owned === name) return await LevelStorage.open(database, names);
  await rm(database, { recursive: true, force: true });
  const storage = await LevelStorage.create(database, names, EMPTY_STATE);
  try {
    await writeFileAtomic(owner, name, { mode: 0o600 });
  } catch (error) {
    await storage.close();
    throw error;
  }
  return storage;
}

function membershipOf(answer: JoinAnswer): Membership {
  const { clusterId, epoch, replicaId, caCert, nodeCert, known } = answer;
  return { state: 'member', clusterId, epoch, replicaId, caCert, nodeCert, known, announced: true };
}

/** The cluster has admitted this host and it cannot stay: it takes itself out again. */
async function withdraw(
  workplace: Workplace,
  identity: Identity,
  replica: Replica,
  stored: Identity | null,
): Promise<void> {
  const signal = AbortSignal.timeout(WITHDRAWAL_MS);
  try {
    await replica.propose({ kind: 'member-remove', nodeId: identity.nodeId, keepsLease: false }, signal);
  } catch (error) {
    if (!(error instanceof TsflannelError)) throw error;
    workplace.start.log.warn('still-a-member', 'The cluster still lists this host.', { err: error });
  }
  await replica.close();
  await takeBack(workplace.start.dataDir, stored);
}

const WITHDRAWAL_MS = 5_000;

/** The data directory as it was. */
async function takeBack(dataDir: string, stored: Identity | null): Promise<void> {
  await forgetMembership(dataDir);
  if (stored === null) await removeIdentity(dataDir);
}

/** The cluster has said no, and will say it again. Silence and a missing quorum are not an answer. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof TsflannelError)) return false;
  const { code, exitCode } = error.refusal;
  return exitCode !== EXIT.noQuorum && code !== NO_ANSWER;
}

function isOfEpoch({ caDigest }: JoinToken, { caCert }: Membership): boolean {
  return certificateDigest(new X509Certificate(caCert).raw) === caDigest;
}

/** What the cluster itself said, not the network or this host. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof TsflannelError)) return false;
  const { exitCode, code } = error.refusal;
  return code !== WRONG_CLUSTER && (exitCode === EXIT.refused || exitCode === EXIT.conflict);
}

function identityMissing(dataDir: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'identity-missing',
      EXIT.failed,
      `This host is a member of a cluster, and its identity is missing from ${dataDir}.`,
      'Restore identity.json from a backup, or run "tsflannel down --purge" and join as a new host.',
    ),
  );
}

function notNewer(theirs: number, ours: number): Refusal {
  return theirs < ours ? olderEpoch(theirs, ours) : twoRecoveries(ours);
}

/** Of one number and with two CAs: two survivors have been recovered, each on its own. */
function twoRecoveries(epoch: number): Refusal {
  return refuse(
    'two-recoveries',
    EXIT.conflict,
    `The host that was asked and this host are both in epoch ${epoch} of this cluster, each recovered on its own.`,
    'Choose which of them goes on, run "tsflannel recover" there once more, and join its newer epoch from the other.',
  );
}

function olderEpoch(theirs: number, ours: number): Refusal {
  return refuse(
    'older-epoch',
    EXIT.conflict,
    `The host that was asked is in epoch ${theirs} of this cluster, and this host is in epoch ${ours}, which came after it.`,
    'Have that host join with a token of the newer epoch: "tsflannel token create" on a voter of it.',
  );
}

function notAToken(): Refusal {
  return refuse(
    'not-a-token',
    EXIT.usage,
    'The token is not one: it has the form tsf1.ID.DIGEST.SECRET.',
    'Copy the whole token from "tsflannel init" or "tsflannel token create".',
  );
}
