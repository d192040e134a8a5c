/**
 * The state of one replica, shared by the functions of the roles: term, vote, log, role and what waits to leave. Owns the
 * few steps that every role takes (become a follower, learn of a commit, queue a message); the rules of a role are in
 * follower.ts, candidate.ts, leader.ts and replication.ts.
 */
import type { Effects, FreeMessage, ReadOutcome, Transition } from './effects.ts';
import { Journal } from './journal.ts';
import { RaftLog } from './log.ts';
import { isVoter } from './membership.ts';
import type { Message } from './messages.ts';
import type { RaftOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { loseReads, type PendingReads } from './reads.ts';
import type { SnapshotAssembly } from './snapshot-transfer.ts';
import type { Transfer } from './transfer.ts';
import {
  assert,
  type Entry,
  type HardState,
  type LogIndex,
  type ReplicaId,
  type Role,
  type Snapshot,
  type Term,
  toLogIndex,
} from './types.ts';

export interface RaftInit {
  readonly id: ReplicaId;
  readonly options: RaftOptions;
  readonly hardState: HardState;
  readonly snapshot: Snapshot | null;
  readonly entries: readonly Entry[];
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** SHA-256. */
  readonly digest: (data: Uint8Array) => Uint8Array;
  /** Monotonic milliseconds. */
  readonly now: number;
  /**
   * No vote is granted before this time. A replica that restarts gives its peers the time to tell it that its disk is
   * older than what it has promised them; without it, any time.
   */
  readonly votesFrom?: number;
}

export interface FollowerRole {
  readonly kind: 'follower';
  readonly leader: ReplicaId | null;
  /** When `leader` was last heard. */
  heardAt: number;
  readonly timeoutMs: number;
  electionAt: number;
}

export interface CandidateRole {
  readonly kind: 'candidate';
  readonly phase: 'pre-vote' | 'vote';
  /** The leader of the term before asked for this election. */
  readonly transfer: boolean;
  /** By sender, so that a duplicated answer counts once. The own vote stands here once it is durable. */
  readonly votes: Map<ReplicaId, boolean>;
  readonly electionAt: number;
  retryAt: number;
}

export interface LeaderRole {
  readonly kind: 'leader';
  readonly since: number;
  readonly peers: Map<ReplicaId, Progress>;
  /** Of the last heartbeat round in this term. */
  sequence: number;
  /** The rounds that may still prove a present quorum, without gaps, oldest first. */
  readonly rounds: { readonly sequence: number; readonly sentAt: number }[];
  reads: PendingReads;
  transfer: Transfer | null;
  uncommittedBytes: number;
}

export type RoleState = FollowerRole | CandidateRole | LeaderRole;

export class Replica {
  readonly id: ReplicaId;
  readonly options: RaftOptions;
  readonly log: RaftLog;
  readonly journal: Journal;
  readonly #random: () => number;
  now: number;
  term: Term;
  vote: ReplicaId | null;
  /** Invariant: snapshot <= applied <= emitted <= commit <= last. */
  #commit: LogIndex;
  #emitted: LogIndex;
  #applied: LogIndex;
  role: RoleState;
  readonly digest: (data: Uint8Array) => Uint8Array;
  /** What has arrived of a snapshot that is ahead of this log. */
  incoming: SnapshotAssembly | null = null;
  readonly #votesFrom: number;
  #readIds = 0;
  #reads: ReadOutcome[] = [];
  #send: FreeMessage[] = [];
  #restore: Snapshot | null;
  #reported: Transition;

  constructor(init: RaftInit) {
    this.id = init.id;
    this.options = init.options;
    this.log = new RaftLog(init.snapshot, init.entries);
    this.journal = new Journal(init.hardState, this.log.lastIndex);
    this.#random = init.random;
    this.digest = init.digest;
    this.#votesFrom = init.votesFrom ?? init.now;
    this.now = init.now;
    this.term = init.hardState.term;
    this.vote = init.hardState.vote;
    const floor = this.log.snapshotLast.index;
    this.#commit = toLogIndex(Math.max(init.hardState.commit, floor));
    this.#emitted = floor;
    this.#applied = floor;
    this.#restore = init.snapshot;
    assert(
      this.#commit <= this.log.lastIndex,
      `commit ${this.#commit} is beyond the log's end ${this.log.lastIndex}`,
    );
    assert(this.log.last.term <= this.term, 'the log is newer than the term');
    this.role = this.#follower(null);
    // Nobody else could be leader, so there is nobody to wait for.
    const { voters, outgoing } = this.log.configuration;
    if (outgoing.length === 0 && voters.length === 1 && voters[0] === this.id)
      this.role.electionAt = this.now;
    this.#reported = this.#transition();
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  get emitted(): LogIndex {
    return this.#emitted;
  }

  get isVoter(): boolean {
    return isVoter(this.log.configuration, this.id);
  }

  /**
   * Thesis 4.2.2: also a voter that the latest configuration removes, until that is committed. It may be the only one
   * that holds the entry, and with its longer log it refuses its vote to everybody else.
   */
  get mayCampaign(): boolean {
    if (this.isVoter) return true;
    if (this.log.configurationIndex <= this.#commit) return false;
    return isVoter(this.log.metaAt(this.#commit).configuration, this.id);
  }

  get leader(): ReplicaId | null {
    if (this.role.kind === 'leader') return this.id;
    return this.role.kind === 'follower' ? this.role.leader : null;
  }

  get publicRole(): Role {
    return this.role.kind === 'follower' && !this.isVoter ? 'learner' : this.role.kind;
  }

  /** While this is so, nobody gets a vote. */
  get leaderIsAlive(): boolean {
    if (this.role.kind === 'leader') return true;
    if (this.role.kind === 'candidate' || this.role.leader === null) return false;
    return this.now - this.role.heardAt < this.options.electionTimeoutMsMin;
  }

  get mayVote(): boolean {
    return this.now >= this.#votesFrom;
  }

  /** The commit hint never points beyond what the disk was given. */
  get hardState(): HardState {
    const commit = toLogIndex(Math.min(this.#commit, this.journal.handed));
    return { term: this.term, vote: this.vote, commit };
  }

  randomTimeout(): number {
    const { electionTimeoutMsMin: min, electionTimeoutMsMax: max } = this.options;
    return min + Math.floor(this.#random() * (max - min));
  }

  becomeFollower(term: Term, leader: ReplicaId | null): void {
    if (this.role.kind === 'leader') loseReads(this, this.role);
    this.enterTerm(term);
    this.role = this.#follower(leader);
  }

  enterTerm(term: Term): void {
    assert(term >= this.term, `term ${this.term} cannot go back to ${term}`);
    if (term === this.term) return;
    this.term = term;
    this.vote = null;
    this.journal.forgetMessages();
  }

  /** Everything up to `index` is committed; the caller knows that this log holds it. */
  commitTo(index: LogIndex): void {
    assert(index <= this.log.lastIndex, `commit ${index} is beyond the log's end ${this.log.lastIndex}`);
    if (index <= this.#commit) return;
    this.#commit = index;
    if (this.incoming !== null && this.incoming.meta.last.index <= index) this.incoming = null;
  }

  append(entries: readonly Entry[]): void {
    this.log.append(entries);
  }

  truncate(from: LogIndex): void {
    assert(from > this.#commit, `truncating committed entry ${from}`);
    this.log.truncate(from);
    this.journal.truncated(from);
  }

  /** Replaces log and state machine by a leader's snapshot. */
  restore(snapshot: Snapshot): void {
    const { index } = snapshot.meta.last;
    assert(index > this.#commit, `snapshot ${index} is not ahead of commit ${this.#commit}`);
    this.incoming = null;
    this.log.restore(snapshot);
    this.journal.restored(snapshot);
    this.#restore = snapshot;
    this.#commit = index;
    this.#emitted = index;
    this.#applied = index;
  }

  markApplied(index: LogIndex): void {
    assert(index <= this.#emitted, `applied ${index} was never handed out`);
    if (index > this.#applied) this.#applied = index;
  }

  takeReadId(): number {
    this.#readIds += 1;
    return this.#readIds;
  }

  settleRead(outcome: ReadOutcome): void {
    this.#reads.push(outcome);
  }

  send(message: FreeMessage): void {
    this.#send.push(message);
  }

  /** For what promises something about this replica's disk. */
  sendAfterPersist(message: Message): void {
    this.journal.sendAfter(message);
  }

  takeEffects(): Effects {
    const persist = this.journal.take({ term: this.term, vote: this.vote, commit: this.#commit }, this.log);
    const apply =
      this.#emitted < this.#commit ? this.log.slice(toLogIndex(this.#emitted + 1), this.#commit) : [];
    this.#emitted = this.#commit;
    const transition = this.#transition();
    const changed =
      transition.role !== this.#reported.role ||
      transition.term !== this.#reported.term ||
      transition.leader !== this.#reported.leader;
    this.#reported = transition;
    const effects: Effects = {
      send: this.#send,
      persist,
      restore: this.#restore,
      apply,
      reads: this.#reads,
      transition: changed ? transition : null,
    };
    this.#send = [];
    this.#reads = [];
    this.#restore = null;
    return effects;
  }

  #transition(): Transition {
    return { role: this.publicRole, term: this.term, leader: this.leader };
  }

  #follower(leader: ReplicaId | null): FollowerRole {
    const timeoutMs = this.randomTimeout();
    return { kind: 'follower', leader, heardAt: this.now, timeoutMs, electionAt: this.now + timeoutMs };
  }
}
