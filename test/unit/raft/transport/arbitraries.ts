/** fast-check generators of messages that replicas may send. */
import fc from 'fast-check';
import type { Message } from '../../../../raft/core/messages.ts';
import { type Entry, type EntryId, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { MAX_SNAPSHOT_BYTES } from '../../../../raft/limits.ts';
import { configuration, entry, entryId } from '../storage/arbitraries.ts';

const index = fc.nat().map(toLogIndex);
const sequence = fc.nat();
const position: fc.Arbitrary<EntryId> = fc.oneof(
  fc.constant({ term: toTerm(0), index: toLogIndex(0) }),
  entryId,
);
const envelope = fc.record({
  from: fc.integer({ min: 1 }).map(toReplicaId),
  to: fc.integer({ min: 1 }).map(toReplicaId),
  term: fc.nat().map(toTerm),
});

/** Entries that follow `prev` one by one, in terms that never fall. */
function chain(prev: EntryId, parts: readonly (readonly [Entry, number])[]): Entry[] {
  let term: number = prev.term;
  return parts.map(([part, rise], i) => {
    term = Math.max(term + rise, 1);
    return { ...part, term: toTerm(term), index: toLogIndex(prev.index + 1 + i) };
  });
}

const appendRequest = fc
  .tuple(
    envelope,
    fc.record({ term: fc.integer({ min: 1 }).map(toTerm), index: fc.integer({ min: 1 }).map(toLogIndex) }),
    fc.array(fc.tuple(entry, fc.nat(3)), { maxLength: 6 }),
    index,
  )
  .map(([who, prev, parts, commit]): Message => {
    const entries = chain(prev, parts);
    const term = toTerm(Math.max(who.term, entries.at(-1)?.term ?? prev.term));
    return { kind: 'append-request', ...who, term, prev, commit, entries };
  });

const nextTerm = fc.nat().map(toTerm);
const granted = fc.boolean();

export const message: fc.Arbitrary<Message> = fc.oneof(
  appendRequest,
  fc
    .tuple(envelope, nextTerm, position)
    .map(([who, next, last]): Message => ({ kind: 'pre-vote-request', ...who, nextTerm: next, last })),
  fc
    .tuple(envelope, nextTerm, granted)
    .map(
      ([who, next, yes]): Message => ({ kind: 'pre-vote-response', ...who, nextTerm: next, granted: yes }),
    ),
  fc
    .tuple(envelope, position, fc.boolean())
    .map(([who, last, transfer]): Message => ({ kind: 'vote-request', ...who, last, transfer })),
  fc.tuple(envelope, granted).map(([who, yes]): Message => ({ kind: 'vote-response', ...who, granted: yes })),
  fc.tuple(envelope, index).map(([who, match]): Message => ({ kind: 'append-accepted', ...who, match })),
  fc
    .tuple(envelope, index, position)
    .map(([who, rejected, hint]): Message => ({ kind: 'append-rejected', ...who, rejected, hint })),
  fc
    .tuple(envelope, index, sequence)
    .map(([who, commit, n]): Message => ({ kind: 'heartbeat-request', ...who, commit, sequence: n })),
  fc
    .tuple(envelope, sequence, index)
    .map(([who, n, lastIndex]): Message => ({ kind: 'heartbeat-response', ...who, sequence: n, lastIndex })),
  fc
    .record({
      who: envelope,
      last: position,
      configuration,
      data: fc.uint8Array({ maxLength: 300 }),
      offset: fc.nat({ max: 1 << 20 }),
      rest: fc.nat({ max: 1 << 20 }),
      digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    .map(({ who, last, configuration: value, data, ...sizes }): Message => {
      const meta = { last, configuration: value };
      const { offset, rest, digest } = data.length === 0 ? { ...sizes, offset: 0, rest: 0 } : sizes;
      return {
        kind: 'snapshot-chunk',
        ...who,
        meta,
        size: offset + data.length + rest,
        digest,
        offset,
        data,
      };
    }),
  fc
    .tuple(envelope, position, fc.nat({ max: MAX_SNAPSHOT_BYTES }))
    .map(([who, last, received]): Message => ({ kind: 'snapshot-received', ...who, last, received })),
  envelope.map((who): Message => ({ kind: 'timeout-now', ...who })),
);
