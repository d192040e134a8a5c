/**
 * One replica of the Raft consensus algorithm as a pure state machine: messages, time and confirmations go in, Effects
 * come out. This file only dispatches; the rules are in the files it imports. It reads no clock, draws no random number
 * of its own, and does no I/O, so a run is repeated exactly by repeating its inputs.
 *
 * After any call the runtime drains takeEffects() and carries it out: `send` at once, `persist` to disk in order of seq
 * and then its `thenSend`, `restore` and then `apply` to the state machine. It reports persisted(seq) and applied(index).
 */
import {
  handlePreVoteRequest,
  handlePreVoteResponse,
  handleTimeoutNow,
  handleVoteRequest,
  handleVoteResponse,
  ownVotePersisted,
  startPreVote,
  tickCandidate,
} from './candidate.ts';
import type { Effects } from './effects.ts';
import {
  answerStaleLeader,
  handleAppend,
  handleHeartbeat,
  handleSnapshotChunk,
  isWellFormed,
  type LeaderMessage,
} from './follower.ts';
import { assertInvariants } from './invariants.ts';
import {
  advanceCommit,
  type ChangeResult,
  changeConfiguration,
  leaderDeadline,
  type ProposeResult,
  propose,
  tickLeader,
} from './leader.ts';
import { isMember, isVoter, type Membership } from './membership.ts';
import type { Message, PreVoteRequest, TimeoutNow, VoteRequest } from './messages.ts';
import type { ProgressState } from './progress.ts';
import { advanceReads, type ReadResult, readIndex } from './reads.ts';
import { type RaftInit, Replica } from './replica.ts';
import {
  handleAccepted,
  handleHeartbeatResponse,
  handleRejected,
  lowestResumption,
  replicate,
} from './replication.ts';
import { handleSnapshotReceived } from './snapshot-transfer.ts';
import { advanceTransfer, type TransferResult, transferLeadership } from './transfer.ts';
import {
  assert,
  assertNever,
  type Configuration,
  type EntryId,
  type HardState,
  type LogIndex,
  type ReplicaId,
  type Role,
  type Snapshot,
  type SnapshotMeta,
  type Term,
  toLogIndex,
} from './types.ts';

export type { ChangeResult, Membership, ProposeResult, RaftInit, ReadResult, TransferResult };

export interface PeerStatus {
  readonly match: LogIndex;
  readonly state: ProgressState['kind'];
  /** When the last heartbeat round that the peer answered was sent. */
  readonly lastActive: number;
}

/** Where a replica stands. */
export interface RaftSummary {
  readonly role: Role;
  readonly term: Term;
  readonly commit: LogIndex;
  readonly last: EntryId;
  /** In force. */
  readonly configuration: Configuration;
}

export interface RaftStatus extends RaftSummary {
  readonly id: ReplicaId;
  readonly leader: ReplicaId | null;
  readonly applied: LogIndex;
  /** Where `configuration` stands in the log: committed when at or below `commit`. */
  readonly configurationIndex: LogIndex;
  /** Since when this replica leads; null when it does not. */
  readonly leaderSince: number | null;
  /** Whom this leader is handing over to. */
  readonly transferTarget: ReplicaId | null;
  /** Empty when this replica does not lead. */
  readonly progress: ReadonlyMap<ReplicaId, PeerStatus>;
}

type ResponseMessage = Exclude<Message, LeaderMessage | PreVoteRequest | VoteRequest | TimeoutNow>;

export class RaftCore {
  readonly #replica: Replica;

  constructor(init: RaftInit) {
    this.#replica = new Replica(init);
  }

  step(message: Message, now: number): void {
    const replica = this.#at(now);
    if (message.to !== replica.id || message.from === replica.id) return;
    if (isLeading(message) && this.#hasNoSay(message.from)) return;
    switch (message.kind) {
      case 'pre-vote-request':
        handlePreVoteRequest(replica, message);
        break;
      case 'vote-request':
        handleVoteRequest(replica, message);
        break;
      case 'append-request':
      case 'heartbeat-request':
      case 'snapshot-chunk':
        this.#stepLeaderMessage(message);
        break;
      case 'timeout-now':
        handleTimeoutNow(replica, message);
        break;
      default:
        this.#stepResponse(message);
    }
  }

  tick(now: number): void {
    const replica = this.#at(now);
    const { role } = replica;
    switch (role.kind) {
      case 'follower':
        if (now >= role.electionAt && replica.mayCampaign) startPreVote(replica);
        break;
      case 'candidate':
        tickCandidate(replica, role);
        break;
      case 'leader':
        tickLeader(replica, role);
        break;
      default:
        assertNever(role);
    }
  }

  /** When tick() must be called next; Infinity when time alone changes nothing. */
  deadline(): number {
    const { role, mayCampaign } = this.#replica;
    switch (role.kind) {
      case 'follower':
        return mayCampaign ? role.electionAt : Number.POSITIVE_INFINITY;
      case 'candidate':
        return Math.min(role.electionAt, role.retryAt);
      case 'leader':
        return leaderDeadline(this.#replica, role);
    }
  }

  propose(payload: Uint8Array, now: number): ProposeResult {
    return propose(this.#at(now), payload);
  }

  changeConfiguration(target: Membership, now: number): ChangeResult {
    return changeConfiguration(this.#at(now), target);
  }

  /** Asks for a read that needs no write; `Effects.reads` says what became of it. */
  readIndex(now: number): ReadResult {
    return readIndex(this.#at(now));
  }

  /** Hands leadership to `target`, a voter. `status.transferTarget` is null again when that came to nothing. */
  transferLeadership(target: ReplicaId, now: number): TransferResult {
    return transferLeadership(this.#at(now), target);
  }

  /** The batch is durable. Strictly in order. */
  persisted(seq: number, now: number): void {
    const replica = this.#at(now);
    replica.journal.persisted(seq);
    const { role } = replica;
    if (role.kind === 'candidate') ownVotePersisted(replica, role);
    else if (role.kind === 'leader') advanceCommit(replica, role);
  }

  /** The state machine holds everything up to `index`. */
  applied(index: LogIndex): void {
    this.#replica.markApplied(index);
  }

  /** What a snapshot of the state machine as it is now must carry. */
  snapshotMeta(): SnapshotMeta {
    return this.#replica.log.metaAt(this.#replica.applied);
  }

  /**
   * Takes a snapshot of the own state machine; the log below it goes, but for what followers slightly behind need.
   * Making it takes time: one that a leader's snapshot has overtaken meanwhile is not needed any more.
   */
  compact(snapshot: Snapshot): void {
    const { log, applied, options, role, journal } = this.#replica;
    const { index } = snapshot.meta.last;
    assert(index <= applied, `snapshot ${index} is ahead of applied ${applied}`);
    if (index <= log.snapshotLast.index) return;
    // The entry before the one it goes on with is needed too: an append names its term.
    const needed = role.kind === 'leader' ? lowestResumption(this.#replica, role) - 1 : index;
    const trailing = Math.min(needed, index - options.trailingEntries);
    const dropTo = toLogIndex(Math.max(0, trailing, index - options.laggingEntries));
    log.compact(snapshot, dropTo);
    journal.compacted(snapshot, dropTo);
  }

  /** A way to `peer` has opened: a leader speaks to it at once instead of at its next heartbeat. */
  reachable(peer: ReplicaId, now: number): void {
    const { role } = this.#at(now);
    if (role.kind !== 'leader') return;
    role.peers.get(peer)?.reachable(now);
    tickLeader(this.#replica, role);
  }

  /** Everything to be done since the last call. */
  takeEffects(): Effects {
    const { role } = this.#replica;
    if (role.kind === 'leader') {
      replicate(this.#replica, role);
      advanceReads(this.#replica, role);
      advanceTransfer(this.#replica, role);
    }
    return this.#replica.takeEffects();
  }

  /** For an idle write of the commit hint: valid when nothing is waiting to be written. */
  get hardState(): HardState {
    return this.#replica.hardState;
  }

  get transferTarget(): ReplicaId | null {
    const { role } = this.#replica;
    return role.kind === 'leader' ? (role.transfer?.target ?? null) : null;
  }

  /** A part of `status` that costs next to nothing: simulations look at it after every step. */
  get summary(): RaftSummary {
    const { publicRole, term, commit, log } = this.#replica;
    return { role: publicRole, term, commit, last: log.last, configuration: log.configuration };
  }

  get status(): RaftStatus {
    const { id, publicRole, term, leader, commit, applied, log, role } = this.#replica;
    const progress = new Map<ReplicaId, PeerStatus>();
    if (role.kind === 'leader') {
      for (const [peer, { match, state, activeAt }] of role.peers) {
        progress.set(peer, { match, state: state.kind, lastActive: activeAt });
      }
    }
    return {
      id,
      role: publicRole,
      term,
      leader,
      commit,
      applied,
      last: log.last,
      configuration: log.configuration,
      configurationIndex: log.configurationIndex,
      leaderSince: role.kind === 'leader' ? role.since : null,
      transferTarget: this.transferTarget,
      progress,
    };
  }

  /** Throws when the replica is in a state that must not be. For tests and simulations, after every step. */
  assertInvariants(): void {
    assertInvariants(this.#replica);
  }

  #at(now: number): Replica {
    assert(now >= this.#replica.now, `time went back from ${this.#replica.now} to ${now}`);
    this.#replica.now = now;
    return this.#replica;
  }

  /**
   * A learner can neither lead nor ask for votes while a leader is known to live, whatever it sends. Without one it may
   * be a voter by an entry that has not arrived here.
   */
  #hasNoSay(from: ReplicaId): boolean {
    const { log, role, now, options } = this.#replica;
    if (isVoter(log.configuration, from)) return false;
    if (role.kind !== 'follower') return role.kind === 'leader';
    return role.leader !== null && role.leader !== from && now < role.heardAt + options.electionTimeoutMsMin;
  }

  #stepLeaderMessage(message: LeaderMessage): void {
    const replica = this.#replica;
    if (!isWellFormed(message, replica.options.maxSnapshotBytes)) return;
    if (message.term < replica.term) {
      answerStaleLeader(replica, message);
      return;
    }
    if (message.term > replica.term) replica.becomeFollower(message.term, message.from);
    switch (message.kind) {
      case 'append-request':
        handleAppend(replica, message);
        break;
      case 'heartbeat-request':
        handleHeartbeat(replica, message);
        break;
      case 'snapshot-chunk':
        handleSnapshotChunk(replica, message);
        break;
      default:
        assertNever(message);
    }
  }

  #stepResponse(message: ResponseMessage): void {
    const replica = this.#replica;
    // Only members are asked; whoever was removed since has no say, not even about the term.
    if (!isMember(replica.log.configuration, message.from)) return;
    if (message.term > replica.term) {
      replica.becomeFollower(message.term, null);
      return;
    }
    // A pre-vote may come from an earlier term: `nextTerm` says what it answers.
    if (message.kind === 'pre-vote-response') {
      handlePreVoteResponse(replica, message);
      return;
    }
    if (message.kind === 'vote-response') {
      if (message.term === replica.term) handleVoteResponse(replica, message);
      return;
    }
    const { role } = replica;
    if (role.kind !== 'leader' || message.term < replica.term) return;
    switch (message.kind) {
      case 'append-accepted':
        if (handleAccepted(replica, role, message)) advanceCommit(replica, role);
        break;
      case 'append-rejected':
        handleRejected(replica, role, message);
        break;
      case 'snapshot-received':
        handleSnapshotReceived(replica, role, message);
        break;
      case 'heartbeat-response':
        handleHeartbeatResponse(replica, role, message);
        break;
      default:
        assertNever(message);
    }
  }
}

/** What only a voter says. */
function isLeading(message: Message): boolean {
  switch (message.kind) {
    case 'pre-vote-request':
    case 'vote-request':
    case 'append-request':
    case 'heartbeat-request':
    case 'snapshot-chunk':
    case 'timeout-now':
      return true;
    default:
      return false;
  }
}
