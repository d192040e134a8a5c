/**
 * What has ever been true in a simulated cluster, gathered from the outside and never forgotten: which log prefix stands
 * behind each (index, term), what was committed under which leader, who led and who voted when, and which bytes a
 * snapshot at an index has. Each fact may be stated again but never contradicted; that is most of Raft's safety.
 *
 * A prefix is named by a rolling hash over everything up to the entry, so equal hashes mean equal logs.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  assertNever,
  type Configuration,
  type Entry,
  type EntryId,
  type LogIndex,
  type ReplicaId,
  type Snapshot,
  type Term,
  ZERO_ENTRY,
} from '../core/types.ts';

/** A rule of Raft was broken. `rule` is its name, the message says by whom and how. */
export class ViolationError extends Error {
  override readonly name = 'ViolationError';
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

export function check(condition: boolean, rule: string, message: () => string): asserts condition {
  if (!condition) throw new ViolationError(rule, message());
}

/** An entry and everything before it. */
export interface Prefix extends EntryId {
  readonly hash: number;
}

export interface Committed extends Prefix {
  /** The term of the leader that committed it first. */
  readonly leaderTerm: Term;
  /** The configuration in force at this entry. */
  readonly configuration: Configuration;
}

/** More than any run has. */
const TERMS_MAX = 2 ** 20;

export const NOBODY: Configuration = { voters: [], outgoing: [], learners: [] };

const contents = new WeakMap<Entry, number>();

/** The prefix that ends in `entry` and starts with `previous`. */
export function extend(previous: Prefix, entry: Entry): Prefix {
  let content = contents.get(entry);
  if (content === undefined) {
    content = contentHash(entry);
    contents.set(entry, content);
  }
  let hash = Math.imul(previous.hash ^ content, 0x85ebca6b) ^ entry.term;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) + entry.index;
  return { term: entry.term, index: entry.index, hash: (hash ^ (hash >>> 16)) >>> 0 };
}

function contentHash(entry: Entry): number {
  switch (entry.kind) {
    case 'noop':
      return 1;
    case 'command':
      return crc32(entry.payload, 2);
    case 'configuration':
      return crc32(JSON.stringify(entry.configuration), 3);
    default:
      return assertNever(entry);
  }
}

export class Facts {
  /** By index; [0] is before the first entry. */
  readonly committed: Committed[] = [
    { ...ZERO_ENTRY, hash: 0, leaderTerm: ZERO_ENTRY.term, configuration: NOBODY },
  ];
  /** Where the last confirmed read stands. */
  lastRead: LogIndex = ZERO_ENTRY.index;
  /** By index and term. */
  readonly #hashes = new Map<number, number>();
  readonly #leaders = new Map<Term, ReplicaId>();
  /** By term, then voter. */
  readonly #votes = new Map<Term, Map<ReplicaId, ReplicaId>>();
  /** By term, then replica: the longest log that was on its disk while it was in that term. */
  readonly #durable = new Map<Term, Map<ReplicaId, number>>();
  readonly #snapshots = new Map<LogIndex, string>();

  get lastCommitted(): Committed {
    const last = this.committed.at(-1);
    check(last !== undefined, 'facts', () => 'nothing is committed');
    return last;
  }

  committedAt(index: LogIndex): Committed | null {
    return this.committed[index] ?? null;
  }

  leaderOf(term: Term): ReplicaId | null {
    return this.#leaders.get(term) ?? null;
  }

  /** Whom the voter's disk says that it voted for in `term`. */
  voteOf(voter: ReplicaId, term: Term): ReplicaId | null {
    return this.#votes.get(term)?.get(voter) ?? null;
  }

  /** Log matching: one (index, term) has one prefix. */
  statePrefix(who: ReplicaId, prefix: Prefix): void {
    const key = prefix.index * TERMS_MAX + prefix.term;
    const known = this.#hashes.get(key);
    check(known === undefined || known === prefix.hash, 'log matching', () => {
      return `replica ${who} has another log up to entry ${prefix.index} of term ${prefix.term}`;
    });
    if (known === undefined) this.#hashes.set(key, prefix.hash);
  }

  /** Committed entries are immutable, whoever says that they are committed. */
  stateCommitted(who: ReplicaId, prefix: Prefix): void {
    const known = this.committed[prefix.index];
    check(known?.hash === prefix.hash, 'state machine safety', () => {
      const other = known === undefined ? 'nothing' : `an entry of term ${known.term}`;
      return `replica ${who} takes entry ${prefix.index} of term ${prefix.term} for committed, ${other} is`;
    });
  }

  /** Election safety: one leader a term. */
  stateLeader(leader: ReplicaId, term: Term): void {
    const known = this.#leaders.get(term) ?? leader;
    check(
      known === leader,
      'election safety',
      () => `replicas ${known} and ${leader} both lead term ${term}`,
    );
    this.#leaders.set(term, leader);
  }

  stateVote(voter: ReplicaId, term: Term, candidate: ReplicaId): void {
    const votes = this.#votes.get(term) ?? new Map<ReplicaId, ReplicaId>();
    this.#votes.set(term, votes);
    const known = votes.get(voter) ?? candidate;
    check(known === candidate, 'one vote a term', () => {
      return `replica ${voter} voted for ${known} and for ${candidate} in term ${term}`;
    });
    votes.set(voter, candidate);
  }

  stateDurable(who: ReplicaId, term: Term, last: LogIndex): void {
    const reached = this.#durable.get(term) ?? new Map<ReplicaId, number>();
    this.#durable.set(term, reached);
    reached.set(who, Math.max(last, reached.get(who) ?? 0));
  }

  durableIn(who: ReplicaId, term: Term): number {
    return this.#durable.get(term)?.get(who) ?? 0;
  }

  /** State machines are deterministic: a snapshot at an index has the same bytes everywhere. */
  stateSnapshot(who: ReplicaId, snapshot: Snapshot): void {
    const { last, configuration } = snapshot.meta;
    const committed = this.committed[last.index];
    check(committed?.term === last.term, 'snapshot of committed entries', () => {
      return `replica ${who} has a snapshot at entry ${last.index} of term ${last.term}, which is not committed`;
    });
    const expected = JSON.stringify(committed.configuration);
    check(JSON.stringify(configuration) === expected, 'snapshot carries its configuration', () => {
      return `replica ${who} has ${JSON.stringify(configuration)} in its snapshot at ${last.index}, not ${expected}`;
    });
    const digest = createHash('sha256').update(snapshot.data).digest('hex');
    const known = this.#snapshots.get(last.index) ?? digest;
    check(
      known === digest,
      'equal state',
      () => `the state of replica ${who} at ${last.index} is another one`,
    );
    this.#snapshots.set(last.index, digest);
  }
}

/** A majority of the voters and, in a joint configuration, of the outgoing ones. Deliberately not the core's code. */
export function isQuorum(configuration: Configuration, agrees: (id: ReplicaId) => boolean): boolean {
  const { voters, outgoing } = configuration;
  const most = (ids: readonly ReplicaId[]): boolean => ids.filter(agrees).length * 2 > ids.length;
  return most(voters) && (outgoing.length === 0 || most(outgoing));
}
