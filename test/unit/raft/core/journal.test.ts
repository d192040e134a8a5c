import { describe, expect, test } from 'vitest';
import { needsWrite } from '../../../../raft/core/effects.ts';
import { Journal } from '../../../../raft/core/journal.ts';
import { RaftLog } from '../../../../raft/core/log.ts';
import type { Message } from '../../../../raft/core/messages.ts';
import {
  type Entry,
  type HardState,
  type Snapshot,
  toLogIndex,
  toTerm,
} from '../../../../raft/core/types.ts';
import { configuration, id, logOf } from './network.ts';

const i = toLogIndex;
const hard = (term: number, vote: number | null = null, commit = 0): HardState => ({
  term: toTerm(term),
  vote: vote === null ? null : id(vote),
  commit: i(commit),
});
const noop = (term: number, index: number): Entry => ({ kind: 'noop', term: toTerm(term), index: i(index) });
const accepted = (to: number, match: number): Message => ({
  kind: 'append-accepted',
  from: id(9),
  to: id(to),
  term: toTerm(1),
  match: i(match),
});
const snapshotAt = (term: number, index: number): Snapshot => ({
  meta: { last: { term: toTerm(term), index: i(index) }, configuration: configuration([1]) },
  data: new Uint8Array(),
  digest: new Uint8Array(),
});

function setUp(terms: number[] = [1, 1]): { journal: Journal; log: RaftLog } {
  const log = new RaftLog(null, logOf(terms, configuration([1])));
  return { journal: new Journal(hard(1), log.lastIndex), log };
}

function truncate({ journal, log }: ReturnType<typeof setUp>, from: number): void {
  log.truncate(i(from));
  journal.truncated(i(from));
}

test('what was recovered is durable and needs no batch', () => {
  const { journal, log } = setUp();
  expect(journal.stable).toBe(2);
  expect(journal.take(hard(1), log)).toBeNull();
});

test('a commit hint alone makes no batch, and rides along with the next', () => {
  const { journal, log } = setUp();
  expect(journal.take(hard(1, null, 2), log)).toBeNull();
  log.append([noop(1, 3)]);
  expect(journal.take(hard(1, null, 2), log)?.hardState.commit).toBe(2);
});

test('batches are numbered, hold each entry once, and are stable when confirmed', () => {
  const { journal, log } = setUp();
  log.append([noop(1, 3)]);
  expect(journal.take(hard(1), log)).toMatchObject({ seq: 1, entries: [noop(1, 3)], truncateFrom: null });
  log.append([noop(1, 4)]);
  expect(journal.take(hard(1), log)).toMatchObject({ seq: 2, entries: [noop(1, 4)] });
  expect([journal.stable, journal.handed]).toEqual([2, 4]);
  journal.persisted(1);
  expect(journal.stable).toBe(3);
  journal.persisted(2);
  expect(journal.stable).toBe(4);
});

test('a confirmation out of order, doubled or invented is a broken invariant', () => {
  const { journal, log } = setUp();
  expect(() => journal.persisted(1)).toThrow('none is next');
  log.append([noop(1, 3)]);
  journal.take(hard(1), log);
  log.append([noop(1, 4)]);
  journal.take(hard(1), log);
  expect(() => journal.persisted(2)).toThrow('1 is next');
});

describe('truncation', () => {
  test('clamps batches under way: a late confirmation does not vouch for the replacement', () => {
    const both = setUp();
    const { journal, log } = both;
    log.append([noop(1, 3), noop(1, 4)]);
    journal.take(hard(1), log);
    truncate(both, 3);
    log.append([noop(2, 3), noop(2, 4), noop(2, 5)]);
    expect(journal.take(hard(2), log)).toMatchObject({
      seq: 2,
      truncateFrom: 3,
      entries: [{ term: 2 }, {}, {}],
    });
    journal.persisted(1);
    expect(journal.stable).toBe(2);
    journal.persisted(2);
    expect(journal.stable).toBe(5);
  });

  test('of what the disk never saw is not written', () => {
    const both = setUp();
    const { journal, log } = both;
    log.append([noop(1, 3)]);
    truncate(both, 3);
    expect(journal.take(hard(1), log)).toBeNull();
  });

  test('twice in one turn deletes from the lower index', () => {
    const both = setUp([1, 1, 1, 1]);
    const { journal, log } = both;
    truncate(both, 4);
    truncate(both, 3);
    log.append([noop(2, 3)]);
    expect(journal.take(hard(2), log)).toMatchObject({ truncateFrom: 3, entries: [noop(2, 3)] });
  });
});

describe('a restored snapshot', () => {
  test('deletes everything on disk, also what is above it', () => {
    const both = setUp([1, 1, 1, 1]);
    const { journal, log } = both;
    log.restore(snapshotAt(2, 3));
    journal.restored(snapshotAt(2, 3));
    expect(journal.stable).toBe(0);
    expect(journal.take(hard(2), log)).toMatchObject({ truncateFrom: 4, compactTo: 3, entries: [] });
    journal.persisted(1);
    expect(journal.stable).toBe(3);
  });

  test('replaces a truncation of the same turn', () => {
    const both = setUp([1, 1, 1, 1]);
    const { journal, log } = both;
    truncate(both, 3);
    log.restore(snapshotAt(2, 9));
    journal.restored(snapshotAt(2, 9));
    log.append([noop(2, 10)]);
    expect(journal.take(hard(2), log)).toMatchObject({
      truncateFrom: 10,
      compactTo: 9,
      entries: [noop(2, 10)],
    });
  });

  test('is not stable by the confirmation of an earlier batch', () => {
    const both = setUp();
    const { journal, log } = both;
    log.append([noop(1, 3)]);
    journal.take(hard(1), log);
    log.restore(snapshotAt(2, 9));
    journal.restored(snapshotAt(2, 9));
    journal.take(hard(2), log);
    journal.persisted(1);
    expect(journal.stable).toBe(0);
    journal.persisted(2);
    expect(journal.stable).toBe(9);
  });
});

describe('messages', () => {
  test('leave with the batch, in order, acknowledgements of one turn as one', () => {
    const { journal, log } = setUp();
    const vote: Message = { kind: 'vote-response', from: id(9), to: id(2), term: toTerm(1), granted: true };
    journal.sendAfter(vote);
    journal.sendAfter(accepted(1, 2));
    journal.sendAfter(accepted(1, 5));
    journal.sendAfter(accepted(1, 4));
    const persist = journal.take(hard(1), log);
    expect(persist?.thenSend).toEqual([vote, accepted(1, 5)]);
    expect(persist !== null && needsWrite(persist, hard(1))).toBe(false);
    expect(persist !== null && needsWrite(persist, hard(0))).toBe(true);
    expect(journal.take(hard(1), log)).toBeNull();
  });

  test('of an older term never leave', () => {
    const { journal, log } = setUp();
    journal.sendAfter(accepted(1, 2));
    journal.forgetMessages();
    expect(journal.take(hard(2), log)?.thenSend).toEqual([]);
  });
});

test('a vote is durable with its own batch, not before', () => {
  const { journal, log } = setUp();
  journal.take(hard(2), log);
  journal.take(hard(2, 7), log);
  journal.persisted(1);
  expect(journal.durable.vote).toBeNull();
  journal.persisted(2);
  expect(journal.durable.vote).toBe(7);
});
