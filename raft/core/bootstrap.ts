/**
 * The first moment of a new cluster: one voter whose log begins with the configuration that says so. Every other replica
 * begins with nothing at all, never campaigns, and takes what a leader sends.
 */
import { type Entry, type HardState, type ReplicaId, type Snapshot, toLogIndex, toTerm } from './types.ts';

/** What a storage is made with. */
export interface InitialState {
  readonly hardState: HardState;
  readonly snapshot: Snapshot | null;
  /** Contiguous, and without a hole behind the snapshot. */
  readonly entries: readonly Entry[];
}

/** To be written to disk before the core of the first replica is made. */
export function bootstrapState(id: ReplicaId): InitialState {
  const term = toTerm(1);
  const index = toLogIndex(1);
  const configuration = { voters: [id], outgoing: [], learners: [] };
  return {
    // Committed by the only voter there is.
    hardState: { term, vote: null, commit: index },
    snapshot: null,
    entries: [{ kind: 'configuration', term, index, configuration }],
  };
}

/** A replica that joins. */
export const EMPTY_STATE: InitialState = {
  hardState: { term: toTerm(0), vote: null, commit: toLogIndex(0) },
  snapshot: null,
  entries: [],
};
