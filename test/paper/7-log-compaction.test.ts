/**
 * Raft paper, section 7: log compaction. Each test quotes the sentence it holds the core to.
 */
import { describe, expect, test } from 'vitest';
import { type Snapshot, toLogIndex } from '../../raft/core/types.ts';
import { configuration, digest, diskOf, Network, text } from '../unit/raft/core/network.ts';
import { at, command, Solo, THREE } from '../unit/raft/core/solo.ts';

const i = toLogIndex;
const snapshotAt = (term: number, index: number): Snapshot => {
  const data = text('["state"]');
  const configurationThere = configuration([1, 2, 3], [4]);
  return { meta: { last: at(term, index), configuration: configurationThere }, data, digest: digest(data) };
};
/** All of it in one chunk. */
const send = ({ meta, data, digest: whole }: Snapshot, term = 5) =>
  ({
    kind: 'snapshot-chunk',
    from: 2,
    term,
    meta,
    size: data.length,
    digest: whole,
    offset: 0,
    data,
  }) as const;

// "Usually the snapshot will contain new information not already in the recipient's log. In this case, the follower
// discards its entire log; it is all superseded by the snapshot."
describe('a snapshot that is ahead', () => {
  test.each([
    ['of the whole log', [1, 1, 1], 9, null],
    ['of a part, in conflict with the rest', [1, 1, 1, 2, 2, 2], 4, 5],
  ])('%s replaces it, and is acknowledged when durable', (_, terms, index, truncateFrom) => {
    const solo = new Solo(diskOf(terms, THREE));
    solo.holdsDisk = true;
    solo.receive(send(snapshotAt(3, index)));
    expect(solo.restored).toEqual([snapshotAt(3, index)]);
    expect(solo.core.status).toMatchObject({
      commit: index,
      applied: index,
      last: at(3, index),
      configuration: configuration([1, 2, 3], [4]),
    });
    expect(solo.held).toMatchObject([
      { snapshot: { meta: { last: { index } } }, compactTo: index, truncateFrom, entries: [] },
    ]);
    expect(solo.of('append-accepted')).toEqual([]);
    solo.release();
    expect(solo.of('append-accepted')).toMatchObject([{ match: index }]);
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 5,
      prev: at(3, index),
      entries: [command(5, index + 1)],
      commit: i(index + 1),
    });
    expect(solo.applied).toEqual([`${index + 1}:5/${index + 1}@5`]);
  });
});

// "If instead the follower receives a snapshot that describes a prefix of its log (due to retransmission or by mistake),
// then log entries covered by the snapshot are deleted but entries following the snapshot are still valid and must be
// retained."
describe('a snapshot of a prefix', () => {
  test('keeps what follows, and tells what is committed', () => {
    const solo = new Solo(diskOf([1, 1, 3, 3, 3], THREE));
    solo.receive(send(snapshotAt(3, 3)));
    expect(solo.restored).toEqual([]);
    expect(solo.core.status).toMatchObject({ commit: 3, last: at(3, 5) });
    expect(solo.applied).toHaveLength(3);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 3 }]);
  });

  test('below the commit index changes nothing', () => {
    const solo = new Solo(diskOf([1, 1, 3, 3, 3], THREE));
    solo.receive(send(snapshotAt(3, 4)));
    solo.forget();
    solo.receive(send(snapshotAt(1, 2)));
    expect(solo.core.status.commit).toBe(4);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 4 }]);
  });
});

// "Each server takes snapshots independently, covering just the committed entries in its log."
// "To support cluster membership changes, the snapshot also includes the latest configuration in the log as of last
// included index."
describe('an own snapshot', () => {
  function applied(): Solo {
    const solo = new Solo(diskOf([1, 1, 1, 1, 1, 1], THREE), { trailingEntries: 2 });
    solo.receive({ kind: 'append-request', from: 2, term: 1, prev: at(1, 6), entries: [], commit: i(5) });
    solo.forget();
    return solo;
  }

  test('covers what is applied, keeps the trailing entries, and is written', () => {
    const solo = applied();
    const meta = solo.core.snapshotMeta();
    expect(meta).toEqual({ last: at(1, 5), configuration: THREE });
    solo.core.compact({ meta, data: text('1'), digest: digest(text('1')) });
    solo.drain();
    expect(solo.persisted).toMatchObject([
      { snapshot: { meta }, compactTo: 3, truncateFrom: null, entries: [] },
    ]);
    expect(solo.core.status).toMatchObject({ commit: 5, last: at(1, 6), configuration: THREE });
  });

  test('of what is not applied is a broken invariant', () => {
    const solo = applied();
    const meta = { last: at(1, 6), configuration: THREE };
    expect(() => solo.core.compact({ meta, data: text(''), digest: digest(text('')) })).toThrow(
      'ahead of applied',
    );
  });

  test('survives a restart: the state machine gets it first, then what follows up to the commit hint', () => {
    const network = Network.voters(1, { trailingEntries: 0 });
    network.elect(1);
    for (let n = 0; n < 5; n++) network.propose(1, `x${n}`);
    network.run(10);
    network.compact(1);
    network.propose(1, 'y');
    network.run(10);
    network.propose(1, 'z');
    network.run(10);
    const before = network.node(1).applied;
    network.crash(1);
    network.restart(1);
    expect(network.node(1).applied).toEqual(before.slice(0, -1));
    network.elect(1);
    expect(network.node(1).applied.slice(0, -1)).toEqual(before);
  });
});

// "... the leader must occasionally send snapshots to followers that lag behind. This happens when the leader has already
// discarded the next log entry that it needs to send to a follower."
describe('a follower that lags behind the log', () => {
  function lagging(): Network {
    const network = Network.voters(3, { trailingEntries: 2, laggingEntries: 2, snapshotRetryMs: 1_000 });
    network.elect(1);
    network.isolate(3);
    network.run(3_000);
    for (let n = 0; n < 20; n++) network.propose(1, `x${n}`);
    network.run(100);
    network.compact(1);
    network.propose(1, 'y');
    network.run(100);
    return network;
  }
  const caughtUp = (network: Network): boolean =>
    network.node(3).applied.join() === network.node(1).applied.join();

  test('is sent the snapshot and goes on from there', () => {
    const network = lagging();
    expect(network.sent.some((m) => m.kind === 'snapshot-chunk')).toBe(false);
    network.heal();
    expect(network.runUntil(() => caughtUp(network), 1_000)).toBe(true);
    expect(network.sent.filter((m) => m.kind === 'snapshot-chunk')).toHaveLength(1);
    expect(network.node(3).disk.snapshot).not.toBeNull();
    expect(network.leader()).toBe(1);
  });

  test('is sent it again when it is lost', () => {
    const network = lagging();
    let lost = 0;
    network.delays = (m) => (m.kind === 'snapshot-chunk' && lost++ < 2 ? [] : [1]);
    network.heal();
    expect(network.runUntil(() => caughtUp(network), 5_000)).toBe(true);
    expect(lost).toBe(3);
  });

  test('is not sent it again when only the acknowledgement is lost', () => {
    const network = lagging();
    let lost = 0;
    network.delays = (m) => (m.kind === 'append-accepted' && m.from === 3 && lost++ < 1 ? [] : [1]);
    network.heal();
    expect(network.runUntil(() => caughtUp(network), 900)).toBe(true);
    expect(network.sent.filter((m) => m.kind === 'snapshot-chunk')).toHaveLength(1);
  });

  test('is not sent any while it is silent', () => {
    const network = lagging();
    network.run(30_000);
    expect(network.sent.some((m) => m.kind === 'snapshot-chunk')).toBe(false);
  });

  test('but answers keeps its entries in the log, within bounds', () => {
    const network = Network.voters(3, { trailingEntries: 0, laggingEntries: 1_000 });
    network.elect(1);
    network.run(300);
    network.delays = (m) => (m.kind === 'append-request' && m.to === 3 ? [] : [1]);
    for (let n = 0; n < 20; n++) network.propose(1, `x${n}`);
    network.run(500);
    network.compact(1);
    network.delays = () => [1];
    expect(network.runUntil(() => caughtUp(network), 1_000)).toBe(true);
    expect(network.sent.some((m) => m.kind === 'snapshot-chunk')).toBe(false);
  });
});

// Figure 13 (InstallSnapshot RPC), the receiver's rules.
describe('a snapshot that comes in chunks', () => {
  const whole = snapshotAt(3, 9);
  const part = (offset: number, length: number, snapshot: Snapshot = whole, term = 5) => ({
    ...send(snapshot, term),
    offset,
    data: snapshot.data.slice(offset, offset + length),
  });
  const size = whole.data.length;

  // "Reply immediately if term < currentTerm."
  test('of an earlier term is not taken', () => {
    const solo = new Solo(diskOf([1], THREE, 6));
    solo.receive(send(whole));
    expect(solo.core.status).toMatchObject({ commit: 0, last: at(1, 1), leader: null });
    expect(solo.of('heartbeat-response')).toMatchObject([{ to: 2, term: 6 }]);
  });

  // "Write data into snapshot file at given offset. Reply and wait for more data chunks if done is false."
  test('is installed when the last one is there, and each answer says how much is', () => {
    const solo = new Solo();
    solo.receive(part(0, 4));
    solo.receive(part(4, size - 5));
    expect(solo.of('snapshot-received').map((m) => m.received)).toEqual([4, size - 1]);
    expect(solo.restored).toEqual([]);
    solo.receive(part(size - 1, 1));
    expect(solo.restored).toEqual([whole]);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 9 }]);
  });

  test('doubled, out of order or behind a gap installs nothing wrong', () => {
    const solo = new Solo();
    for (const [offset, length] of [
      [4, 2],
      [0, 4],
      [0, 4],
      [6, size - 6],
      [4, 2],
      [0, 4],
    ] as const)
      solo.receive(part(offset, length));
    expect(solo.of('snapshot-received').map((m) => m.received)).toEqual([0, 4, 4, 4, 6, 6]);
    solo.receive(part(6, size - 6));
    expect(solo.restored).toEqual([whole]);
  });

  test('and is not what its digest says is thrown away, and begins anew', () => {
    const solo = new Solo();
    const garbled = { ...whole, data: whole.data.map((byte, n) => (n === 3 ? byte ^ 1 : byte)) };
    solo.receive(part(0, size, garbled));
    expect(solo.restored).toEqual([]);
    expect(solo.of('snapshot-received')).toMatchObject([{ received: 0 }]);
    solo.receive(part(0, size));
    expect(solo.restored).toEqual([whole]);
  });

  // "Save snapshot file, discard any existing or partial snapshot with a smaller index."
  test('gives way to a newer one', () => {
    const solo = new Solo();
    const newer = snapshotAt(4, 12);
    solo.receive(part(0, 4));
    solo.receive(part(0, 4, newer));
    solo.receive(part(4, size - 4));
    expect(solo.restored).toEqual([]);
    solo.receive(part(4, size - 4, newer));
    expect(solo.restored).toEqual([newer]);
  });
});
