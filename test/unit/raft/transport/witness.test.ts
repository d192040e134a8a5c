import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { SEEN_MS } from '../../../../raft/limits.ts';
import type { Position } from '../../../../raft/storage/storage.ts';
import { describeRollback, isBehind, NO_POSITION, Witness } from '../../../../raft/transport/witness.ts';

const [one, two] = [toReplicaId(1), toReplicaId(2)];

function at(writeSequence: number, term: number): Position {
  return { writeSequence, term: toTerm(term) };
}

describe('a witness', () => {
  it('keeps the highest of both parts, in whatever order they come', () => {
    const positions = fc.array(fc.record({ writeSequence: fc.nat(20), term: fc.nat(20).map(toTerm) }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(positions, (list) => {
        const witness = new Witness();
        for (const position of list) witness.observe(one, position);
        const highest = at(
          Math.max(...list.map(({ writeSequence }) => writeSequence)),
          Math.max(...list.map(({ term }) => term)),
        );
        expect(witness.entries().get(one) ?? NO_POSITION).toEqual(highest);
        expect(witness.entries().get(two)).toBe(undefined);
      }),
    );
  });

  it('tells apart who is behind', () => {
    expect(isBehind(at(5, 2), undefined)).toBe(false);
    expect(isBehind(at(5, 2), at(5, 2))).toBe(false);
    expect(isBehind(at(9, 3), at(5, 2))).toBe(false);
    expect(isBehind(at(4, 2), at(5, 2))).toBe(true);
    expect(isBehind(at(9, 1), at(5, 2))).toBe(true);
  });

  it('gives away entries that do not change afterwards', () => {
    const witness = new Witness();
    witness.observe(one, at(5, 2));
    const before = witness.entries();
    witness.observe(one, at(6, 2));
    witness.forget(two);
    expect(before).toEqual(new Map([[one, at(5, 2)]]));
    witness.forget(one);
    expect(witness.entries()).toEqual(new Map());
  });

  it('reports what changed, and not too often', () => {
    const witness = new Witness();
    expect(witness.takeNews(0)).toBe(null);
    witness.observe(one, at(5, 2));
    expect(witness.takeNews(10)).toEqual(new Map([[one, at(5, 2)]]));
    witness.observe(one, at(5, 1));
    expect(witness.takeNews(10 + SEEN_MS)).toBe(null);
    witness.observe(one, at(6, 2));
    expect(witness.takeNews(10 + SEEN_MS)).toEqual(new Map([[one, at(6, 2)]]));
    witness.observe(two, at(1, 1));
    expect(witness.takeNews(9 + 2 * SEEN_MS)).toBe(null);
    expect(witness.takeNews(10 + 2 * SEEN_MS)?.size).toBe(2);
  });

  it('says in one sentence what is lost and what to do', () => {
    expect(describeRollback(two, at(80, 4), at(120, 5))).toMatchInlineSnapshot(
      `"replica 2 stands at write 80 of term 4, but was seen at write 120 of term 5: its directory was put back to an older copy; remove the replica from the cluster and let the host join again as a new one"`,
    );
  });
});
