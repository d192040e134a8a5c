import { beforeEach, describe, expect, it } from 'vitest';
import { type Entry, type Snapshot, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { extend, Facts, NOBODY } from '../../../../raft/sim/facts.ts';
import { LogMirror } from '../../../../raft/sim/log-mirror.ts';

function noop(index: number, term: number): Entry {
  return { kind: 'noop', index: toLogIndex(index), term: toTerm(term) };
}

function snapshotAt(index: number, term: number): Snapshot {
  const last = { index: toLogIndex(index), term: toTerm(term) };
  return { meta: { last, configuration: NOBODY }, data: new Uint8Array(), digest: new Uint8Array() };
}

function commit(facts: Facts, entry: Entry): void {
  const prefix = extend(facts.lastCommitted, entry);
  facts.committed.push({ ...prefix, leaderTerm: entry.term, configuration: NOBODY });
}

describe('the log of a follower', () => {
  let facts: Facts;
  let follower: LogMirror;

  beforeEach(() => {
    facts = new Facts();
    commit(facts, noop(1, 1));
    commit(facts, noop(2, 3));
    const leader = new LogMirror(toReplicaId(1), facts, toLogIndex(0), [noop(1, 1), noop(2, 3), noop(3, 3)]);
    expect(leader.last.index).toBe(3);
    follower = new LogMirror(toReplicaId(2), facts, toLogIndex(0), [noop(1, 1), noop(2, 2)]);
  });

  it('goes on from a snapshot that takes the place of another last entry, in one batch', () => {
    follower.follow({
      truncateFrom: null,
      entries: [noop(3, 3)],
      compactTo: toLogIndex(2),
      snapshot: snapshotAt(2, 3),
    });
    expect(follower.last).toMatchObject({ index: 3, term: 3 });
    expect(follower.termAt(toLogIndex(2))).toBe(3);
  });

  it('never goes on from another entry', () => {
    const batch = { truncateFrom: null, entries: [noop(3, 3)], compactTo: null, snapshot: null };
    expect(() => follower.follow(batch)).toThrow(/log matching: replica 2 has another log/);
  });
});
