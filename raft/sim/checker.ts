/**
 * Watches every replica of a simulated cluster from the outside: what it sends, what it asks of its disk, what it
 * applies, and what it says about itself; and holds that against the rules of Raft after every step. It shares no code
 * with the core beyond the types, and it believes disks, not replicas: something is durable when a disk holds it.
 *
 * The first broken rule throws a ViolationError, which ends the run.
 */
import type { Effects, Persist, ReadOutcome } from '../core/effects.ts';
import type { AppendAccepted, AppendRequest, HeartbeatRequest, Message } from '../core/messages.ts';
import type { RaftSummary } from '../core/raft.ts';
import {
  type Configuration,
  type ConfigurationEntry,
  type Entry,
  type EntryId,
  type HardState,
  type LogIndex,
  type ReplicaId,
  type Snapshot,
  toLogIndex,
  ZERO_ENTRY,
} from '../core/types.ts';
import type { MemoryStorage } from '../storage/memory.ts';
import type { Recovered } from '../storage/storage.ts';
import { check, extend, Facts, isQuorum, type Prefix } from './facts.ts';
import { LogMirror } from './log-mirror.ts';

/** One incarnation of one replica. */
interface Watched {
  readonly id: ReplicaId;
  readonly log: LogMirror;
  status: RaftSummary;
  /** The hard state of the newest batch that was handed to the disk. */
  handed: HardState;
  snapshot: LogIndex;
  /** What the state machine has applied. */
  applied: Prefix;
  /** What each read under way has to see at least. */
  readonly reads: Map<number, LogIndex>;
}

export class Checker {
  readonly facts: Facts = new Facts();
  /** Disks that are gone stay here with what they held: acknowledgements were given for it. */
  readonly #disks = new Map<ReplicaId, MemoryStorage>();
  /** The last index on each disk. */
  readonly #ends = new Map<ReplicaId, LogIndex>();
  readonly #rolledBack = new Set<ReplicaId>();
  readonly #running = new Map<ReplicaId, Watched>();

  addDisk(id: ReplicaId, storage: MemoryStorage): void {
    check(!this.#disks.has(id), 'replica ids are used once', () => `replica ${id} gets a second disk`);
    this.#disks.set(id, storage);
    this.#ends.set(id, storage.last.index);
  }

  /** The entries that every first replica finds on its disk, committed by definition. */
  genesis(entries: readonly Entry[]): void {
    let prefix: Prefix = this.facts.lastCommitted;
    for (const entry of entries) {
      prefix = extend(prefix, entry);
      const { configuration } = entry.kind === 'configuration' ? entry : this.facts.lastCommitted;
      this.facts.committed.push({ ...prefix, leaderTerm: entry.term, configuration });
    }
  }

  started(id: ReplicaId, { hardState, snapshot, entries }: Recovered): void {
    const snapshotIndex = snapshot?.meta.last.index ?? ZERO_ENTRY.index;
    const first = entries[0];
    const base = first === undefined ? snapshotIndex : toLogIndex(first.index - 1);
    const log = new LogMirror(id, this.facts, base, entries);
    const last = log.last;
    const configuration = log.configurationAt(last.index);
    const { term, commit } = hardState;
    const status = { role: 'follower', term, commit, last, configuration } as const;
    const hinted = log.at(hardState.commit);
    if (hinted !== null) this.facts.stateCommitted(id, hinted);
    const applied = this.#committedAt(id, ZERO_ENTRY.index);
    this.#running.set(id, {
      id,
      log,
      status,
      handed: hardState,
      snapshot: snapshotIndex,
      applied,
      reads: new Map(),
    });
  }

  /** Its disk holds an older copy of itself: what it says from now on is compared with nothing. */
  rolledBack(id: ReplicaId): void {
    this.#rolledBack.add(id);
  }

  stopped(id: ReplicaId): void {
    this.#running.delete(id);
  }

  /**
   * When effects are taken, before they are carried out: `claims` is what the core said after each step since the last
   * time, oldest first.
   */
  stepped(id: ReplicaId, { persist }: Pick<Effects, 'persist'>, claims: readonly RaftSummary[]): void {
    const replica = this.#watched(id);
    const before = replica.status;
    const status = claims.at(-1) ?? before;
    if (persist !== null) {
      this.#checkAppendOnly(replica, status, persist.truncateFrom);
      this.#checkHardState(replica, persist.hardState);
      replica.log.follow(persist);
      if (persist.snapshot !== null) replica.snapshot = persist.snapshot.meta.last.index;
      if (status.role === 'leader') this.#checkMembershipSteps(replica, status, persist.entries);
      this.#checkConfiguration(replica, status);
    }
    for (const claim of claims) this.#checkClaim(replica, claim);
  }

  /** When the effects of a step are carried out. */
  settled(id: ReplicaId): void {
    const { snapshot, applied, status, log } = this.#watched(id);
    const inOrder =
      snapshot <= applied.index && applied.index <= status.commit && status.commit <= log.last.index;
    check(inOrder, 'snapshot <= applied <= commit <= last', () => {
      return `replica ${id} has ${snapshot}, ${applied.index}, ${status.commit}, ${log.last.index}`;
    });
  }

  applying(id: ReplicaId, entry: Entry): void {
    const replica = this.#watched(id);
    check(entry.index === replica.applied.index + 1, 'every entry is applied once and in order', () => {
      return `replica ${id} applies ${entry.index} after ${replica.applied.index}`;
    });
    const prefix = extend(replica.applied, entry);
    this.facts.stateCommitted(id, prefix);
    replica.applied = prefix;
  }

  restoring(id: ReplicaId, snapshot: Snapshot): void {
    const replica = this.#watched(id);
    this.facts.stateSnapshot(id, snapshot);
    const { index } = snapshot.meta.last;
    check(index > replica.applied.index, 'nothing regresses', () => {
      return `replica ${id} restores ${index} after it applied ${replica.applied.index}`;
    });
    replica.applied = this.#committedAt(id, index);
  }

  /** A client asks a leader for a read. All that was committed by now must show in it, acknowledged or not. */
  reading(id: ReplicaId, read: number): void {
    const { reads } = this.#watched(id);
    check(!reads.has(read), 'checker', () => `replica ${id} has two reads ${read}`);
    reads.set(read, this.facts.lastCommitted.index);
  }

  /** Linearizable, and with that monotonic: a later read begins when more is committed. */
  read(id: ReplicaId, outcome: ReadOutcome): void {
    const { reads } = this.#watched(id);
    const least = reads.get(outcome.id);
    reads.delete(outcome.id);
    check(least !== undefined, 'every read is answered once', () => {
      return `replica ${id} answers read ${outcome.id}, which does not wait`;
    });
    if (outcome.kind === 'lost') return;
    check(outcome.index >= least, 'a read misses nothing', () => {
      return `replica ${id} answers read ${outcome.id} at ${outcome.index}, ${least} was committed before it`;
    });
    check(outcome.index <= this.facts.lastCommitted.index, 'a read waits for what is committed', () => {
      return `replica ${id} answers read ${outcome.id} at ${outcome.index}, which is not committed`;
    });
    this.facts.lastRead = outcome.index;
  }

  snapshotTaken(id: ReplicaId, snapshot: Snapshot): void {
    this.facts.stateSnapshot(id, snapshot);
  }

  /**
   * After each write. It may stand for several batches; nobody can tell that from their having been written one after
   * the other, so each counts as durable at its turn, also where a later one took something back.
   */
  durable(id: ReplicaId, batches: readonly Persist[]): void {
    const disk = this.#disk(id);
    let last: number = this.#ends.get(id) ?? ZERO_ENTRY.index;
    for (const { hardState, truncateFrom, entries, compactTo } of batches) {
      if (truncateFrom !== null) last = Math.min(last, truncateFrom - 1);
      last = Math.max(entries.at(-1)?.index ?? last, compactTo ?? 0);
      if (hardState.vote !== null) this.facts.stateVote(id, hardState.term, hardState.vote);
      this.facts.stateDurable(id, hardState.term, toLogIndex(last));
    }
    check(last === disk.last.index, 'a group of batches writes what they would write alone', () => {
      return `the disk of replica ${id} ends at ${disk.last.index} instead of ${last}`;
    });
    this.#ends.set(id, disk.last.index);
  }

  /** Durable before sent, and nobody says what is not so. */
  sending(message: Message): void {
    switch (message.kind) {
      case 'vote-response':
        if (!message.granted) return;
        check(this.facts.voteOf(message.from, message.term) === message.to, 'durable before sent', () => {
          return `the vote of ${message.from} for ${message.to} in term ${message.term} is not on its disk`;
        });
        return;
      case 'append-accepted':
        this.#checkAcknowledgement(message);
        return;
      case 'append-request':
        this.#checkAppend(message);
        return;
      case 'heartbeat-request':
        this.#checkHeartbeat(message);
        return;
      case 'snapshot-chunk':
      case 'timeout-now':
        this.#checkLeads(message);
        return;
      default:
        return;
    }
  }

  /** Everything one replica may say and another may hear about its log, for comparisons at the end. */
  logOf(id: ReplicaId): {
    readonly last: Prefix;
    readonly applied: Prefix;
    readonly configuration: Configuration;
  } {
    const { log, applied } = this.#watched(id);
    return { last: log.last, applied, configuration: log.configurationAt(log.last.index) };
  }

  /** Every configuration that some running replica could act on. */
  configurationsInUse(): Configuration[] {
    return [...this.#running.values()].flatMap(({ log, status }) => [
      log.configurationAt(log.last.index),
      log.configurationAt(status.commit),
    ]);
  }

  /** What a replica takes to be in force is what its snapshot and its log say, whatever was cut off or replaced. */
  #checkConfiguration({ id, log }: Watched, { configuration }: RaftSummary): void {
    const expected = log.configurationAt(log.last.index);
    const { voters, outgoing, learners } = configuration;
    const ok =
      same(voters, expected.voters) && same(outgoing, expected.outgoing) && same(learners, expected.learners);
    check(ok, 'configuration follows the log', () => {
      return `replica ${id} acts on ${JSON.stringify(configuration)}, its log says ${JSON.stringify(expected)}`;
    });
  }

  #checkClaim(replica: Watched, claim: RaftSummary): void {
    const before = replica.status;
    replica.status = claim;
    check(claim.term >= before.term && claim.commit >= before.commit, 'nothing regresses', () => {
      return `replica ${replica.id} goes from ${show(before)} to ${show(claim)}`;
    });
    if (claim.role === 'leader' && (before.role !== 'leader' || before.term !== claim.term)) {
      this.#checkElected(replica);
    }
    if (claim.commit > before.commit) this.#checkCommit(replica, before);
  }

  /** `status` is what will be claimed once the truncation is done. */
  #checkAppendOnly(replica: Watched, status: RaftSummary, truncateFrom: LogIndex | null): void {
    const before = replica.status;
    if (truncateFrom === null || truncateFrom > replica.log.last.index) return;
    check(truncateFrom > before.commit, 'committed entries stay', () => {
      return `replica ${replica.id} removes ${truncateFrom}, commit is ${before.commit}`;
    });
    const led = before.role === 'leader' && status.role === 'leader' && before.term === status.term;
    check(!led, 'leader append-only', () => `leader ${replica.id} removes its entry ${truncateFrom}`);
  }

  #checkHardState(replica: Watched, hardState: HardState): void {
    const { handed } = replica;
    const sameVote = handed.vote === null || hardState.vote === handed.vote;
    const ok =
      hardState.commit >= handed.commit &&
      (hardState.term > handed.term || (hardState.term === handed.term && sameVote));
    check(ok, 'nothing regresses', () => {
      return `replica ${replica.id} writes ${JSON.stringify(hardState)} after ${JSON.stringify(handed)}`;
    });
    replica.handed = hardState;
  }

  /** Election safety, leader completeness, and a real majority of votes that are on disks. */
  #checkElected({ id, log, status }: Watched): void {
    const { term } = status;
    this.facts.stateLeader(id, term);
    check(this.#disk(id).hardState.term >= term, 'durable before sent', () => {
      return `replica ${id} leads term ${term}, which is not on its disk`;
    });
    const configuration = this.#configurationOf(log, status);
    check(
      isQuorum(configuration, (voter) => this.facts.voteOf(voter, term) === id),
      'elected by a quorum',
      () => {
        return `replica ${id} leads term ${term} without the votes of a quorum of ${JSON.stringify(configuration)}`;
      },
    );
    // Thesis 4.2.2: also a voter that is removed by an entry that is not committed yet.
    const standing = [configuration, log.configurationAt(status.commit)];
    check(
      standing.some(({ voters, outgoing }) => voters.includes(id) || outgoing.includes(id)),
      'only voters lead',
      () => `replica ${id} leads term ${term} and is no voter of ${JSON.stringify(configuration)}`,
    );
    const due = this.facts.committed.findLast((entry) => entry.leaderTerm < term);
    check(due === undefined || log.at(due.index)?.hash === due.hash, 'leader completeness', () => {
      return `leader ${id} of term ${term} misses entry ${due?.index}, committed in term ${due?.leaderTerm}`;
    });
  }

  #checkCommit({ id, log, status }: Watched, before: RaftSummary): void {
    const known = this.facts.lastCommitted.index;
    const top = log.at(status.commit);
    check(top !== null, 'snapshot <= applied <= commit <= last', () => {
      return `replica ${id} commits ${status.commit}, its log ends at ${log.last.index}`;
    });
    if (status.commit <= known) {
      this.facts.stateCommitted(id, top);
      return;
    }
    // A leader that commits its own removal steps down at once.
    const leads = status.role === 'leader' || (before.role === 'leader' && before.term === status.term);
    check(leads, 'only a leader commits first', () => {
      return `${status.role} ${id} takes ${status.commit} for committed, leaders have committed ${known}`;
    });
    check(top.term === status.term, 'a leader commits by entries of its own term', () => {
      return `leader ${id} of term ${status.term} commits entry ${top.index} of term ${top.term}`;
    });
    // A prefix names everything before it: what was committed earlier must be a part of this log.
    const overlap = log.at(known);
    if (overlap !== null) this.facts.stateCommitted(id, overlap);
    // What the leader has appended since, in the same turn, was not in force yet.
    const configuration = this.#configurationOf(log, before);
    check(
      isQuorum(configuration, (voter) => this.#holds(voter, top)),
      'commit on a durable quorum',
      () => {
        return `leader ${id} commits entry ${top.index}, no quorum of ${JSON.stringify(configuration)} holds it`;
      },
    );
    for (let index = known + 1; index <= status.commit; index++) {
      const prefix = log.at(toLogIndex(index));
      check(
        prefix !== null,
        'log without holes',
        () => `leader ${id} commits ${index}, which it does not have`,
      );
      const configuration = log.configurationAt(prefix.index);
      this.facts.committed.push({ ...prefix, leaderTerm: status.term, configuration });
    }
  }

  /** What was in force at that step. Between two takings of effects the end of the log may have been replaced. */
  #configurationOf(log: LogMirror, { last }: RaftSummary): Configuration {
    return log.configurationAt(toLogIndex(Math.min(log.last.index, last.index)));
  }

  /** One change at a time, and consecutive configurations never have disjoint quorums. */
  #checkMembershipSteps(replica: Watched, status: RaftSummary, entries: readonly Entry[]): void {
    const own = entries.filter((entry): entry is ConfigurationEntry => {
      return entry.kind === 'configuration' && entry.term === status.term;
    });
    for (const entry of own) {
      const previous = replica.log.configurationBefore(entry.index);
      const from = previous.configuration;
      const to = entry.configuration;
      const learnersOnly = same(from.voters, to.voters) && same(from.outgoing, to.outgoing);
      const enters = from.outgoing.length === 0 && same(to.outgoing, from.voters);
      const leaves = to.outgoing.length === 0 && from.outgoing.length > 0 && same(to.voters, from.voters);
      check(learnersOnly || enters || leaves, 'joint consensus', () => {
        return `leader ${replica.id} goes from ${JSON.stringify(from)} to ${JSON.stringify(to)}`;
      });
      check(previous.index <= status.commit, 'one membership change at a time', () => {
        return `leader ${replica.id} appends the configuration ${entry.index}, ${previous.index} is not committed`;
      });
    }
  }

  #checkAcknowledgement({ from, to, term, match }: AppendAccepted): void {
    const reached = this.facts.durableIn(from, term);
    check(reached >= match, 'durable before sent', () => {
      return `replica ${from} acknowledges ${match} of term ${term}, its disk had ${reached}`;
    });
    const leader = this.#running.get(to);
    const present = leader?.status.role === 'leader' && leader.status.term === term;
    // In a later term the disk may rightly hold other entries by now.
    if (!present || this.#disk(from).hardState.term > term) return;
    const prefix = leader.log.at(match);
    check(prefix !== null && this.#holds(from, prefix), 'acknowledged entries are equal', () => {
      return `replica ${from} acknowledges ${match} to leader ${to}, which has another entry there`;
    });
  }

  #checkAppend(message: AppendRequest): void {
    this.#checkLeads(message);
    const { log, status } = this.#watched(message.from);
    // Sent in the same turn in which it stepped down: its log may be another one by now.
    if (status.term > message.term) return;
    const first = message.entries[0];
    const last = message.entries.at(-1) ?? message.prev;
    const inLog =
      log.termAt(message.prev.index) === message.prev.term && log.termAt(last.index) === last.term;
    check(
      inLog && (first === undefined || first.index === message.prev.index + 1),
      'leaders send their log',
      () => {
        return `replica ${message.from} sends entries ${message.prev.index}..${last.index} that are not its own`;
      },
    );
    check(message.commit <= status.commit, 'leaders send their commit index', () => {
      return `replica ${message.from} announces commit ${message.commit}, its own is ${status.commit}`;
    });
  }

  #checkHeartbeat(message: HeartbeatRequest): void {
    this.#checkLeads(message);
    if (this.#rolledBack.has(message.to)) return;
    const held = this.#disks.get(message.to)?.last.index ?? 0;
    check(message.commit <= held, 'a heartbeat commits what its receiver holds', () => {
      return `leader ${message.from} announces commit ${message.commit} to ${message.to}, which holds ${held}`;
    });
  }

  #checkLeads(message: Message): void {
    check(this.facts.leaderOf(message.term) === message.from, 'only leaders lead', () => {
      return `replica ${message.from} sends ${message.kind} in term ${message.term} that it does not lead`;
    });
  }

  #holds(id: ReplicaId, entry: EntryId): boolean {
    const disk = this.#disks.get(id);
    if (disk === undefined) return false;
    if (entry.index <= disk.base.index) return true;
    return disk.entryAt(entry.index)?.term === entry.term;
  }

  #disk(id: ReplicaId): MemoryStorage {
    const disk = this.#disks.get(id);
    check(disk !== undefined, 'checker', () => `replica ${id} has no disk`);
    return disk;
  }

  #watched(id: ReplicaId): Watched {
    const replica = this.#running.get(id);
    check(replica !== undefined, 'checker', () => `replica ${id} does not run`);
    return replica;
  }

  #committedAt(id: ReplicaId, index: LogIndex): Prefix {
    const committed = this.facts.committedAt(index);
    check(committed !== null, 'state machine safety', () => `replica ${id} starts with ${index} committed`);
    return committed;
  }
}

function same(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

function show({ role, term, commit }: RaftSummary): string {
  return `${role} of term ${term} with commit ${commit}`;
}
