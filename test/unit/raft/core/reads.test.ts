/** ReadIndex: what confirms a read, and above all what does not. */
import { describe, expect, test } from 'vitest';
import { toLogIndex } from '../../../../raft/core/types.ts';
import { configuration, diskOf, ids } from './network.ts';
import { Solo, THREE } from './solo.ts';

const i = toLogIndex;

/** Leader of term 2; `committed`: its no-op at index 2 is. */
function leading({ committed = true, members = THREE } = {}): Solo {
  const solo = Solo.leader(diskOf([1], members));
  if (committed) for (const from of [2, 3]) acknowledge(solo, from, 2);
  solo.forget();
  return solo;
}

function acknowledge(solo: Solo, from: number, match: number): void {
  solo.receive({ kind: 'append-accepted', from, term: 2, match: i(match) });
}

function answer(solo: Solo, from: number, sequence: number, term = 2): void {
  solo.receive({ kind: 'heartbeat-response', from, term, sequence, lastIndex: i(2) });
}

/** The number of the last round that was sent. */
const round = (solo: Solo): number => Math.max(...solo.of('heartbeat-request').map((m) => m.sequence));

describe('a read', () => {
  test('is confirmed by a quorum that answers a round which began after it was asked for', () => {
    const solo = leading();
    expect(solo.readIndex()).toEqual({ kind: 'pending', id: 1 });
    expect(solo.of('heartbeat-request').map((m) => m.to)).toEqual([2, 3]);
    expect(solo.reads).toEqual([]);
    answer(solo, 3, round(solo));
    expect(solo.reads).toEqual([{ id: 1, kind: 'confirmed', index: 2 }]);
  });

  test('is not confirmed by an answer to an earlier round, however late or doubled it comes', () => {
    const solo = leading();
    solo.advance(250);
    const earlier = round(solo);
    solo.readIndex();
    for (const from of [2, 3, 2, 3]) answer(solo, from, earlier);
    expect(solo.reads).toEqual([]);
    answer(solo, 2, round(solo));
    expect(solo.reads).toHaveLength(1);
  });

  test('is confirmed by a later heartbeat when its own round is lost', () => {
    const solo = leading();
    solo.readIndex();
    solo.advance(250);
    answer(solo, 2, round(solo));
    expect(solo.reads).toEqual([{ id: 1, kind: 'confirmed', index: 2 }]);
  });

  test('counts no learner, and in a joint configuration needs both halves', () => {
    const solo = leading({ members: configuration([1, 2, 3], [4, 5, 6]) });
    const target = { voters: ids(1, 4, 5), learners: ids(6) };
    expect(solo.core.changeConfiguration(target, solo.now)).toMatchObject({ kind: 'appended' });
    solo.drain();
    solo.readIndex();
    const sequence = round(solo);
    for (const from of [6, 2, 3]) answer(solo, from, sequence);
    expect(solo.reads).toEqual([]);
    answer(solo, 4, sequence);
    expect(solo.reads).toHaveLength(1);
  });

  test('waits for the first entry of the own term to be committed', () => {
    const solo = leading({ committed: false });
    solo.advance(250);
    const earlier = round(solo);
    solo.readIndex();
    for (const from of [2, 3]) answer(solo, from, earlier);
    expect(solo.reads).toEqual([]);
    acknowledge(solo, 2, 2);
    answer(solo, 2, round(solo));
    expect(solo.reads).toEqual([{ id: 1, kind: 'confirmed', index: 2 }]);
  });

  test('shows what is committed when its round begins, not what is later', () => {
    const solo = leading();
    solo.readIndex();
    const sequence = round(solo);
    solo.propose('x');
    acknowledge(solo, 2, 3);
    expect(solo.core.status.commit).toBe(3);
    answer(solo, 3, sequence);
    expect(solo.reads).toEqual([{ id: 1, kind: 'confirmed', index: 2 }]);
  });

  test('is at once with a single voter, but not before its no-op is durable', () => {
    const solo = new Solo(diskOf([1], configuration([1])));
    solo.holdsDisk = true;
    solo.advance(0);
    solo.release();
    expect(solo.core.status.role).toBe('leader');
    solo.readIndex();
    expect(solo.reads).toEqual([]);
    solo.release();
    expect(solo.reads).toEqual([{ id: 1, kind: 'confirmed', index: 2 }]);
  });

  test('is refused by who does not lead', () => {
    const solo = new Solo(diskOf([1], THREE));
    solo.receive({ kind: 'heartbeat-request', from: 2, term: 2, commit: i(0), sequence: 1 });
    expect(solo.readIndex()).toEqual({ kind: 'not-leader', leader: 2 });
  });
});

describe('reads that wait', () => {
  test('share the next round, one at a time', () => {
    const solo = leading();
    solo.readIndex();
    const first = round(solo);
    for (let n = 0; n < 3; n++) solo.readIndex();
    expect(round(solo)).toBe(first);
    answer(solo, 2, first);
    expect(solo.reads.map(({ id }) => id)).toEqual([1]);
    expect(round(solo)).toBe(first + 1);
    answer(solo, 2, first + 1);
    expect(solo.reads.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
  });

  test('are lost when leadership is, each once', () => {
    const solo = leading();
    solo.readIndex();
    solo.readIndex();
    answer(solo, 3, 0, 9);
    expect(solo.core.status.role).toBe('follower');
    expect(solo.reads).toEqual([
      { id: 1, kind: 'lost' },
      { id: 2, kind: 'lost' },
    ]);
    answer(solo, 2, round(solo));
    expect(solo.reads).toHaveLength(2);
  });

  test('are lost when no quorum answers any more', () => {
    const solo = leading();
    solo.readIndex();
    solo.advance(2_000);
    expect(solo.reads).toEqual([{ id: 1, kind: 'lost' }]);
  });
});
