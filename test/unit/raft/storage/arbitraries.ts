/** fast-check generators of the values that are stored and sent. */
import fc from 'fast-check';
import {
  type Configuration,
  type Entry,
  type EntryId,
  type ReplicaId,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../../../raft/core/types.ts';

const safe = (min: number): fc.Arbitrary<number> => fc.integer({ min, max: Number.MAX_SAFE_INTEGER });

export const entryId: fc.Arbitrary<EntryId> = fc.record({
  term: safe(1).map(toTerm),
  index: safe(1).map(toLogIndex),
});

const replicaIds: fc.Arbitrary<ReplicaId[]> = fc
  .uniqueArray(safe(1), { maxLength: 9 })
  .map((ids) => ids.toSorted((a, b) => a - b).map(toReplicaId));

export const configuration: fc.Arbitrary<Configuration> = fc
  .record({ voters: replicaIds, outgoing: replicaIds, learners: replicaIds })
  .map(({ voters, outgoing, learners }) => ({
    voters,
    outgoing: voters.length === 0 ? [] : outgoing,
    learners: learners.filter((id) => !voters.includes(id)),
  }));

export const entry: fc.Arbitrary<Entry> = fc.oneof(
  entryId.map((id): Entry => ({ ...id, kind: 'noop' })),
  fc.tuple(entryId, fc.uint8Array({ maxLength: 300 })).map(([id, payload]): Entry => {
    return { ...id, kind: 'command', payload };
  }),
  fc.tuple(entryId, configuration).map(([id, value]): Entry => {
    return { ...id, kind: 'configuration', configuration: value };
  }),
);
