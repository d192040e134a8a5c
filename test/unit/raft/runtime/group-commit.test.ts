import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Persist } from '../../../../raft/core/effects.ts';
import { type Entry, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { takeGroup } from '../../../../raft/runtime/group-commit.ts';
import { MemoryStorage } from '../../../../raft/storage/memory.ts';

const vote = toReplicaId(1);
const START = 5;

function noop(index: number, term: number): Entry {
  return { kind: 'noop', index: toLogIndex(index), term: toTerm(term) };
}

function disk(): MemoryStorage {
  return new MemoryStorage({
    hardState: { term: toTerm(1), vote: null, commit: toLogIndex(2) },
    snapshot: null,
    entries: Array.from({ length: START }, (_, i) => noop(i + 1, 1)),
  });
}

/** Each step truncates somewhere above the commit index, or nowhere, and appends in a new term. */
const batches = fc
  .array(fc.record({ truncate: fc.boolean(), at: fc.nat(1_000), count: fc.nat(4) }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((steps): [Persist, ...Persist[]] => {
    let last = START;
    const all = steps.map(({ truncate, at, count }, i): Persist => {
      const seq = i + 1;
      const from = truncate ? 3 + (at % Math.max(last - 2, 1)) : null;
      const start = from === null ? last + 1 : Math.min(from, last + 1);
      last = start - 1 + count;
      return {
        seq,
        hardState: { term: toTerm(seq + 1), vote, commit: toLogIndex(2) },
        truncateFrom: from === null ? null : toLogIndex(start),
        entries: Array.from({ length: count }, (_, n) => noop(start + n, seq + 1)),
        snapshot: null,
        compactTo: null,
        thenSend: [],
      };
    });
    const [first, ...others] = all;
    if (first === undefined) throw new Error('at least one step');
    return [first, ...others];
  });

describe('group commit', () => {
  it('leaves the disk as the batches one by one would', () => {
    fc.assert(
      fc.property(batches, (waiting) => {
        const [together, apart] = [disk(), disk()];
        const { batch, members } = takeGroup(waiting);
        expect(members).toEqual(waiting);
        together.commit(batch);
        for (const each of waiting) apart.commit(each);
        expect(together.recover()).toEqual(apart.recover());
      }),
      { numRuns: 1_000 },
    );
  });

  it('writes a batch with a snapshot alone, in its place', () => {
    const hardState = { term: toTerm(1), vote, commit: toLogIndex(5) };
    const plain = {
      hardState,
      truncateFrom: null,
      entries: [],
      snapshot: null,
      compactTo: null,
      thenSend: [],
    };
    const meta = {
      last: { term: toTerm(1), index: toLogIndex(5) },
      configuration: { voters: [vote], outgoing: [], learners: [] },
    };
    const compaction = {
      ...plain,
      snapshot: { meta, data: new Uint8Array(), digest: new Uint8Array() },
      compactTo: toLogIndex(3),
    };
    const waiting = [
      { ...plain, seq: 1 },
      { ...compaction, seq: 2 },
      { ...plain, seq: 3 },
    ] as const;
    expect(takeGroup([...waiting]).members.map(({ seq }) => seq)).toEqual([1]);
    expect(takeGroup([waiting[1], waiting[2]]).members.map(({ seq }) => seq)).toEqual([2]);
  });
});
