/**
 * After a quorum is lost for good: what the storage of one survivor holds, and the first state of a new cluster made of
 * it. Offline: no replica runs on the storage meanwhile. Owns no I/O and writes nothing; where the new state goes, and
 * how the old members are kept out of the new cluster, is the caller's business, and without the second it must not
 * start: two clusters would speak in one name.
 *
 *   const survivor = surveySurvivor(await storage.load(), { discardUncommitted: false });
 *   replay(survivor, machine);
 *   await LevelStorage.create(directory, identity, oneVoterState(survivor.kept, survivor.term, id, data));
 */

import type { InitialState } from '../core/bootstrap.ts';
import { RaftLog } from '../core/log.ts';
import {
  assert,
  type Configuration,
  type Entry,
  type EntryId,
  type LogIndex,
  type ReplicaId,
  type Snapshot,
  type Term,
  toLogIndex,
  toTerm,
} from '../core/types.ts';
import { sha256 } from './snapshotter.ts';
import type { StateMachine } from './state-machine.ts';

export interface SurveyOptions {
  /**
   * Entries that are not known to be committed here may have been acknowledged to a client by the lost replicas, so
   * they are kept unless this is set.
   */
  readonly discardUncommitted: boolean;
}

/** To compare survivors: the one with the highest `last`, by term and then by index, has lost the least. */
export interface Survivor {
  /** The highest term this replica has seen. */
  readonly term: Term;
  /** The end of its log. */
  readonly last: EntryId;
  /** Known here to be committed; the lost replicas may have known more. */
  readonly commit: LogIndex;
  /** Where the new cluster begins. */
  readonly kept: EntryId;
  /** Kept without being known to be committed. */
  readonly keptUncommitted: number;
  readonly dropped: number;
  /** In force at `kept`: who had a part in the old cluster. */
  readonly configuration: Configuration;
  readonly snapshot: Snapshot | null;
  /** After the snapshot, up to `kept`. */
  readonly entries: readonly Entry[];
}

/** Pure. `recovered` has been verified by the storage it comes from. */
export function surveySurvivor(recovered: InitialState, { discardUncommitted }: SurveyOptions): Survivor {
  const { hardState, snapshot } = recovered;
  const { last } = new RaftLog(snapshot, recovered.entries);
  const end = discardUncommitted ? hardState.commit : last.index;
  const entries = recovered.entries.filter((entry) => entry.index <= end);
  const log = new RaftLog(snapshot, entries);
  return {
    term: hardState.term,
    last,
    commit: hardState.commit,
    kept: log.last,
    keptUncommitted: end - hardState.commit,
    dropped: last.index - end,
    configuration: log.configuration,
    snapshot,
    entries: entries.filter((entry) => entry.index > log.snapshotLast.index),
  };
}

/** Brings an empty state machine to `survivor.kept`. What the machine throws passes through. */
export function replay<Result>({ snapshot, entries }: Survivor, machine: StateMachine<Result>): void {
  if (snapshot !== null) machine.restore(snapshot.data);
  for (const entry of entries) if (entry.kind === 'command') machine.apply(entry);
}

/**
 * The first state of a cluster whose only voter is `id`, a replica id that was never used: a snapshot at `last` with
 * `data` as the state, in a term above `term`, the highest that was ever seen.
 */
export function oneVoterState(last: EntryId, term: Term, id: ReplicaId, data: Uint8Array): InitialState {
  assert(last.index > 0, 'a log without entries is no state to begin from');
  const configuration = { voters: [id], outgoing: [], learners: [] };
  return {
    hardState: {
      term: toTerm(Math.max(term, last.term) + 1),
      vote: null,
      commit: toLogIndex(last.index),
    },
    snapshot: { meta: { last, configuration }, data, digest: sha256(data) },
    entries: [],
  };
}
