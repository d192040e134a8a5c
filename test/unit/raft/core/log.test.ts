import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entryBytes, follows, RaftLog } from '../../../../raft/core/log.ts';
import {
  type Entry,
  type EntryId,
  type Snapshot,
  toLogIndex,
  toTerm,
  ZERO_ENTRY,
} from '../../../../raft/core/types.ts';
import { configuration, logOf } from './network.ts';

const first = configuration([1, 2, 3]);
const at = (term: number, index: number): EntryId => ({ term: toTerm(term), index: toLogIndex(index) });
const i = toLogIndex;
const snapshotAt = (term: number, index: number, voters = [1, 2, 3]): Snapshot => ({
  meta: { last: at(term, index), configuration: configuration(voters) },
  data: new Uint8Array(),
  digest: new Uint8Array(),
});
const change = (term: number, index: number, voters: number[]): Entry => ({
  ...at(term, index),
  kind: 'configuration',
  configuration: configuration(voters),
});
const noop = (term: number, index: number): Entry => ({ ...at(term, index), kind: 'noop' });
const termsOf = (log: RaftLog): number[] =>
  log.firstIndex <= log.lastIndex ? log.slice(log.firstIndex, log.lastIndex).map((e) => e.term) : [];

describe('an empty log', () => {
  const log = new RaftLog(null, []);
  test('ends before its first entry', () => {
    expect(log.last).toEqual(ZERO_ENTRY);
    expect(log.firstIndex).toBe(1);
    expect(log.term(i(0))).toBe(0);
    expect(log.term(i(1))).toBeNull();
    expect(log.contains(ZERO_ENTRY)).toBe(true);
    expect(log.configuration).toEqual(configuration([]));
    expect(log.chunk(i(1), 100)).toEqual([]);
  });
});

describe('recovery', () => {
  test('keeps trailing entries below the snapshot, whose configuration stands', () => {
    const log = new RaftLog(snapshotAt(2, 4, [1, 2]), logOf([1, 1, 2, 2, 3], first));
    expect(log.last).toEqual(at(3, 5));
    expect(log.term(i(1))).toBe(1);
    expect(log.configuration).toEqual(configuration([1, 2]));
    expect(log.configurationIndex).toBe(4);
  });

  test('drops entries that the snapshot covers all', () => {
    const log = new RaftLog(snapshotAt(2, 9), logOf([1, 1], first));
    expect(log.last).toEqual(at(2, 9));
    expect(log.firstIndex).toBe(10);
    expect(log.term(i(2))).toBeNull();
  });

  test.each([
    ['a hole', snapshotAt(1, 2), [noop(1, 4)], 'hole'],
    ['entries out of order', null, [noop(2, 1), noop(1, 2)], 'order'],
    ['a snapshot of another log', snapshotAt(9, 2), [noop(1, 1), noop(1, 2)], 'another log'],
  ])('refuses %s', (_, snapshot, entries, reason) => {
    expect(() => new RaftLog(snapshot, entries)).toThrow(reason);
  });
});

describe('the configuration', () => {
  test('is the latest appended, and goes back when that is truncated', () => {
    const log = new RaftLog(null, logOf([1, 1], first));
    log.append([change(1, 3, [1, 2]), noop(1, 4), change(1, 5, [1])]);
    expect(log.configuration).toEqual(configuration([1]));
    expect(log.configurationIndex).toBe(5);
    log.truncate(i(5));
    expect(log.configuration).toEqual(configuration([1, 2]));
    log.truncate(i(3));
    expect(log.configuration).toEqual(first);
  });

  test('survives compaction, goes back to the snapshot, and is what it was at an index', () => {
    const log = new RaftLog(null, logOf([1, 1], first));
    log.append([change(1, 3, [1, 2]), noop(1, 4), change(1, 5, [1])]);
    expect(log.metaAt(i(2)).configuration).toEqual(first);
    expect(log.metaAt(i(4))).toEqual({ last: at(1, 4), configuration: configuration([1, 2]) });
    log.compact({ meta: log.metaAt(i(4)), data: new Uint8Array(), digest: new Uint8Array() }, i(1));
    expect(log.configuration).toEqual(configuration([1]));
    log.truncate(i(5));
    expect(log.configuration).toEqual(configuration([1, 2]));
    expect(log.configurationIndex).toBe(4);
  });

  test('is that of a restored snapshot, whatever the log said', () => {
    const log = new RaftLog(null, [change(1, 1, [1]), change(1, 2, [1, 2])]);
    log.restore(snapshotAt(3, 7, [4, 5, 6]));
    expect(log.configuration).toEqual(configuration([4, 5, 6]));
    expect(log.last).toEqual(at(3, 7));
  });
});

describe('compaction', () => {
  test('drops up to where it is told and still knows the term at the snapshot', () => {
    const log = new RaftLog(null, logOf([1, 1, 2, 2, 3], first));
    log.compact(snapshotAt(2, 4), i(4));
    expect(log.firstIndex).toBe(5);
    expect(log.term(i(4))).toBe(2);
    expect(log.term(i(3))).toBeNull();
    expect(log.contains(at(2, 4))).toBe(true);
  });

  test.each([
    ['not newer', snapshotAt(1, 2), i(1), 'newer'],
    ['of another log', snapshotAt(9, 4), i(1), 'not of this log'],
    ['of less than is dropped', snapshotAt(2, 4), i(5), 'not of this log'],
  ])('refuses a snapshot %s', (_, snapshot, dropTo, reason) => {
    const log = new RaftLog(snapshotAt(1, 2), logOf([1, 1, 2, 2, 3], first));
    expect(() => log.compact(snapshot, dropTo)).toThrow(reason);
  });

  test('never lets the snapshot be truncated', () => {
    const log = new RaftLog(snapshotAt(1, 2), logOf([1, 1, 2], first));
    expect(() => log.truncate(i(2))).toThrow('inside the snapshot');
  });
});

describe('chunk', () => {
  const log = new RaftLog(null, logOf([1, 1, 1, 1], first));
  const each = entryBytes(logOf([1, 1], first)[1] ?? noop(1, 1));
  test('holds what fits, and at least one entry', () => {
    expect(log.chunk(i(2), 2 * each).map((e) => e.index)).toEqual([2, 3]);
    expect(log.chunk(i(2), 2 * each - 1).map((e) => e.index)).toEqual([2]);
    expect(log.chunk(i(2), 1).map((e) => e.index)).toEqual([2]);
    expect(log.chunk(i(4), 10_000).map((e) => e.index)).toEqual([4]);
    expect(log.chunk(i(5), 10_000)).toEqual([]);
  });
});

test('follows: no hole, no falling term, no term 0', () => {
  expect(follows(at(1, 3), [])).toBe(true);
  expect(follows(at(1, 3), [noop(1, 4), noop(2, 5)])).toBe(true);
  expect(follows(at(1, 3), [noop(1, 5)])).toBe(false);
  expect(follows(at(2, 3), [noop(1, 4)])).toBe(false);
  expect(follows(ZERO_ENTRY, [noop(0, 1)])).toBe(false);
});

describe('lastAtMost', () => {
  /** Any two logs that a Raft cluster can hold: equal up to somewhere, then of different terms. */
  const ascending = fc.array(fc.nat(2), { maxLength: 8 }).map((steps) => {
    let term = 1;
    return steps.map((step) => {
      term += step;
      return term;
    });
  });

  test('leads a leader to the common prefix in few rounds, never below it', () => {
    fc.assert(
      fc.property(ascending, ascending, ascending, (common, left, right) => {
        const base = common.at(-1) ?? 1;
        // One side writes in even terms, the other in odd ones: no entry behind the prefix is equal.
        const own = [...common, ...left.map((t) => base + 2 * t)];
        const other = [...common, ...right.map((t) => base + 2 * t + 1)];
        const leader = new RaftLog(null, logOf(own, first));
        const follower = new RaftLog(null, logOf(other, first));
        let probe = leader.last;
        let rounds = 0;
        while (!follower.contains(probe)) {
          const hint = follower.lastAtMost(probe);
          const candidate = leader.lastAtMost(hint);
          expect(candidate.index).toBeLessThan(probe.index);
          expect(candidate.index).toBeGreaterThanOrEqual(common.length);
          probe = candidate;
          rounds += 1;
        }
        expect(rounds).toBeLessThanOrEqual(new Set([...left, ...right]).size + 1);
      }),
      { numRuns: 2_000 },
    );
  });

  test('takes what is compacted for equal', () => {
    const log = new RaftLog(snapshotAt(5, 10), []);
    expect(log.lastAtMost(at(3, 7))).toEqual(at(3, 7));
    expect(log.lastAtMost(ZERO_ENTRY)).toEqual(ZERO_ENTRY);
  });
});

test('firstMissing finds a conflict and the end', () => {
  const log = new RaftLog(null, logOf([1, 1, 2, 2], first));
  expect(log.firstMissing([noop(2, 3), noop(2, 4)])).toBeNull();
  expect(log.firstMissing([noop(2, 3), noop(3, 4)])).toBe(4);
  expect(log.firstMissing([noop(2, 4), noop(2, 5)])).toBe(5);
  expect(termsOf(log)).toEqual([1, 1, 2, 2]);
});
