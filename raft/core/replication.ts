/**
 * The leader's side of replication: what goes to each peer now, and what its answers mean. Decides by the peer's Progress
 * alone; the bytes go out once per drained turn, so that proposals of one turn share their messages.
 */
import { entryBytes } from './log.ts';
import type { AppendAccepted, AppendRejected, HeartbeatResponse } from './messages.ts';
import type { Progress } from './progress.ts';
import { confirmReads } from './reads.ts';
import type { LeaderRole, Replica } from './replica.ts';
import { roundSentAt } from './rounds.ts';
import { sendChunks } from './snapshot-transfer.ts';
import { type ReplicaId, toLogIndex } from './types.ts';

/** Sends every peer what it lacks and its window allows. */
export function replicate(replica: Replica, leader: LeaderRole): void {
  for (const [to, progress] of leader.peers) replicateTo(replica, to, progress);
}

function replicateTo(replica: Replica, to: ReplicaId, progress: Progress): void {
  const { log, options } = replica;
  while (progress.canSend) {
    const prevIndex = toLogIndex(progress.next - 1);
    const prevTerm = log.term(prevIndex);
    if (prevTerm === null) {
      startSnapshot(replica, progress);
      break;
    }
    const probing = progress.state.kind === 'probe';
    const entries = log.chunk(progress.next, probing ? options.maxProbeBytes : options.maxAppendBytes);
    const last = toLogIndex(prevIndex + entries.length);
    // The receiver takes no more of the commit index than this message proves.
    const commit = toLogIndex(Math.min(last, replica.commit));
    // Alone, the news of a commit leaves once it is applied here: whoever waited for it may bring the next entry by
    // then, and that carries it.
    const isNews = Math.min(commit, replica.applied) > progress.commitSent;
    if (entries.length === 0 && !probing && !isNews) return;
    replica.send({
      kind: 'append-request',
      from: replica.id,
      to,
      term: replica.term,
      prev: { term: prevTerm, index: prevIndex },
      entries,
      commit: replica.commit,
    });
    const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    progress.appendSent(last, bytes, commit, replica.now);
  }
  sendChunks(replica, to, progress);
}

function startSnapshot(replica: Replica, progress: Progress): void {
  const { snapshot } = replica.log;
  if (snapshot === null || isSilent(replica, progress)) progress.pause();
  else progress.snapshotStarted(snapshot);
}

/** False when it is no news. */
export function handleAccepted(replica: Replica, leader: LeaderRole, message: AppendAccepted): boolean {
  const progress = leader.peers.get(message.from);
  // Nobody can hold more of this leader's log than there is.
  if (progress === undefined || message.match > replica.log.lastIndex) return false;
  return progress.accepted(message.match, replica.log.term(message.match) !== null, replica.now);
}

export function handleRejected(replica: Replica, leader: LeaderRole, message: AppendRejected): void {
  const candidate = replica.log.lastAtMost(message.hint).index;
  leader.peers.get(message.from)?.rejected(message.rejected, candidate, replica.now);
}

export function handleHeartbeatResponse(
  replica: Replica,
  leader: LeaderRole,
  message: HeartbeatResponse,
): void {
  // An answer to a round that is no longer remembered proves nothing about now.
  const sentAt = roundSentAt(leader, message.sequence);
  if (sentAt === null) return;
  const { sequence, lastIndex } = message;
  leader.peers.get(message.from)?.heartbeatAnswered({ sequence, sentAt, lastIndex }, replica.now);
  confirmReads(replica, leader);
}

/** Where the slowest peer that answers will go on: compaction spares what it needs. Infinity without such peers. */
export function lowestResumption(replica: Replica, leader: LeaderRole): number {
  const resumptions: readonly number[] = [...leader.peers.values()]
    .filter((progress) => !isSilent(replica, progress))
    .map(({ state, match }) => (state.kind === 'snapshot' ? state.snapshot.meta.last.index : match));
  return Math.min(...resumptions);
}

function isSilent(replica: Replica, progress: Progress): boolean {
  return replica.now - progress.activeAt >= replica.options.electionTimeoutMsMax;
}
