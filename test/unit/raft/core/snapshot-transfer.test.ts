/** A snapshot in chunks, seen from the follower: what it takes, what it keeps, and what it proves before it installs. */
import { describe, expect, test } from 'vitest';
import { type Snapshot, toLogIndex } from '../../../../raft/core/types.ts';
import { configuration, digest, diskOf, Network, text } from './network.ts';
import { at, Solo, THREE } from './solo.ts';

const BYTES = text('0123456789');

function snapshotAt(index: number, data = BYTES): Snapshot {
  return {
    meta: { last: at(2, index), configuration: configuration([1, 2, 3]) },
    data,
    digest: digest(data),
  };
}

interface Piece {
  readonly snapshot?: Snapshot;
  readonly from?: number;
  readonly term?: number;
  readonly size?: number;
}

function receive(solo: Solo, start: number, end: number, piece: Piece = {}): void {
  const { snapshot = snapshotAt(9), from = 2, term = 3 } = piece;
  const { meta, data, digest: whole } = snapshot;
  const size = piece.size ?? data.length;
  const chunk = data.subarray(start, end);
  solo.receive({ kind: 'snapshot-chunk', from, term, meta, size, digest: whole, offset: start, data: chunk });
}

const follower = (): Solo => new Solo(diskOf([1], THREE));
const received = (solo: Solo): number[] => solo.of('snapshot-received').map((m) => m.received);

describe('chunks', () => {
  test('are put together, and the whole is installed and acknowledged', () => {
    const solo = follower();
    receive(solo, 0, 4);
    receive(solo, 4, 8);
    expect(received(solo)).toEqual([4, 8]);
    expect(solo.restored).toEqual([]);
    receive(solo, 8, 10);
    expect(solo.restored).toEqual([snapshotAt(9)]);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 9 }]);
  });

  test('that are doubled or behind a gap bring nothing, and the answer says what is there', () => {
    const solo = follower();
    receive(solo, 0, 4);
    receive(solo, 0, 4);
    receive(solo, 8, 10);
    receive(solo, 2, 8);
    expect(received(solo)).toEqual([4, 4, 4, 4]);
    receive(solo, 4, 10);
    expect(solo.restored).toHaveLength(1);
  });

  test('of the same snapshot may come from the next leader', () => {
    const solo = follower();
    receive(solo, 0, 4);
    receive(solo, 4, 8, { from: 3, term: 4 });
    receive(solo, 8, 10, { from: 3, term: 4 });
    expect(solo.restored).toHaveLength(1);
  });

  test('of a newer snapshot take its place, late ones of the older do not', () => {
    const solo = follower();
    receive(solo, 0, 4);
    receive(solo, 0, 4, { snapshot: snapshotAt(12) });
    receive(solo, 4, 8);
    expect(received(solo)).toEqual([4, 4, 0]);
    receive(solo, 4, 10, { snapshot: snapshotAt(12) });
    expect(solo.restored).toEqual([snapshotAt(12)]);
  });

  test('of an older snapshot are taken from a newer leader: it has no other', () => {
    const solo = follower();
    receive(solo, 0, 4, { snapshot: snapshotAt(12) });
    receive(solo, 0, 10, { from: 3, term: 4 });
    expect(solo.restored).toEqual([snapshotAt(9)]);
  });

  test('that do not give the digest are thrown away as a whole', () => {
    const solo = follower();
    const wrong = { ...snapshotAt(9), digest: digest(text('other')) };
    receive(solo, 0, 6, { snapshot: wrong });
    receive(solo, 6, 10, { snapshot: wrong });
    expect(solo.restored).toEqual([]);
    expect(received(solo)).toEqual([6, 0]);
    receive(solo, 0, 10);
    expect(solo.restored).toHaveLength(1);
  });

  test.each([
    ['a size beyond the bound', 0, 4, { size: 2 ** 40 }],
    ['more than the size', 0, 10, { size: 5 }],
    ['nothing of something', 0, 0, {}],
  ])('with %s are dropped unseen', (_, start, end, piece) => {
    const solo = follower();
    receive(solo, start, end, piece);
    expect(solo.sent).toEqual([]);
    expect(solo.core.status.term).toBe(1);
  });

  test('are forgotten when the log gets there first', () => {
    const solo = new Solo(diskOf([1, 2, 2], THREE));
    const snapshot = { ...snapshotAt(3), meta: { ...snapshotAt(3).meta, last: at(2, 4) } };
    receive(solo, 0, 4, { snapshot });
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 3,
      prev: at(2, 3),
      entries: [{ ...at(2, 4), kind: 'noop' }],
      commit: toLogIndex(4),
    });
    receive(solo, 4, 10, { snapshot });
    expect(solo.restored).toEqual([]);
    expect(solo.of('append-accepted').at(-1)).toMatchObject({ match: 4 });
  });
});

describe('a leader', () => {
  function lagging(chunkBytes: number): Network {
    const network = Network.voters(3, {
      trailingEntries: 2,
      laggingEntries: 2,
      snapshotChunkBytes: chunkBytes,
      maxSnapshotInflightBytes: 3 * chunkBytes,
      snapshotRetryMs: 1_000,
    });
    network.elect(1);
    network.isolate(3);
    network.run(3_000);
    for (let n = 0; n < 20; n++) network.propose(1, `x${n}`);
    network.run(100);
    network.compact(1);
    network.run(100);
    return network;
  }
  const caughtUp = (network: Network): boolean =>
    network.node(3).applied.join() === network.node(1).applied.join();

  test('finishes the snapshot it began with, though it takes newer ones meanwhile', () => {
    const network = lagging(10);
    let chunks = 0;
    network.delays = (m) => {
      if (m.kind === 'snapshot-chunk' && chunks++ % 5 === 0) {
        network.propose(1, `y${chunks}`);
        network.compact(1);
      }
      return [1];
    };
    network.heal();
    expect(network.runUntil(() => network.node(3).disk.snapshot !== null, 10_000)).toBe(true);
    const sent = network.sent.filter((m) => m.kind === 'snapshot-chunk');
    expect(new Set(sent.map((m) => m.meta.last.index)).size).toBe(1);
    expect(new Set(sent.map((m) => m.offset)).size).toBe(sent.length);
  });

  test('gets it through when a third of the chunks and of the answers is lost', () => {
    const network = lagging(10);
    network.delays = (m) => (m.kind.startsWith('snapshot') && network.random() < 0.33 ? [] : [1]);
    network.heal();
    expect(network.runUntil(() => caughtUp(network), 30_000)).toBe(true);
  });

  test('goes on where the leader before it stopped', () => {
    const network = lagging(10);
    network.compact(2);
    network.heal();
    const some = (): boolean => network.sent.filter((m) => m.kind === 'snapshot-received').length > 3;
    expect(network.runUntil(some, 10_000)).toBe(true);
    network.crash(1);
    const before = network.sent.length;
    expect(network.runUntil(() => caughtUp(network) || network.node(3).disk.snapshot !== null)).toBe(true);
    const offsets = network.sent
      .slice(before)
      .flatMap((m) => (m.kind === 'snapshot-chunk' ? [m.offset] : []));
    // The first one asks what is there.
    expect(offsets[0]).toBe(0);
    expect(offsets[1]).toBeGreaterThan(10);
  });
});
