import { describe, expect, test } from 'vitest';
import { raftOptions } from '../../../../raft/core/options.ts';
import { Inflight, Progress } from '../../../../raft/core/progress.ts';
import { type Snapshot, toLogIndex, toTerm } from '../../../../raft/core/types.ts';
import { configuration } from './network.ts';

const i = toLogIndex;
const options = raftOptions({
  maxInflightMessages: 4,
  maxInflightBytes: 1_000,
  heartbeatMs: 250,
  retransmitMsInitial: 100,
  maxSnapshotInflightBytes: 300,
});
const never = Number.POSITIVE_INFINITY;

/** In replicate with match 10, a measured round trip of 20 ms, now 1,000. */
function replicating(): Progress {
  const progress = new Progress(i(11), options, 0);
  progress.appendSent(i(10), 0, i(0), 0);
  progress.accepted(i(10), true, 5);
  progress.appendSent(i(11), 100, i(0), 980);
  progress.accepted(i(11), true, 1_000);
  expect(progress).toMatchObject({ match: 11, next: 12, state: { kind: 'replicate' }, retransmitAt: never });
  return progress;
}

describe('probe', () => {
  test('sends one message at a time and goes to replicate when it is accepted', () => {
    const progress = new Progress(i(11), options, 0);
    expect(progress.canSend).toBe(true);
    progress.appendSent(i(12), 100, i(0), 0);
    expect(progress).toMatchObject({ canSend: false, next: 11, retransmitAt: 100 });
    expect(progress.accepted(i(12), true, 5)).toBe(true);
    expect(progress).toMatchObject({ match: 12, next: 13, state: { kind: 'replicate' } });
  });

  test('goes back to where the logs may be equal when it is rejected', () => {
    const progress = new Progress(i(11), options, 0);
    progress.appendSent(i(10), 0, i(0), 0);
    progress.rejected(i(10), i(4), 5);
    expect(progress).toMatchObject({ canSend: true, next: 5, state: { kind: 'probe' } });
  });

  test('always goes back at least by one, and never below what matched', () => {
    const progress = new Progress(i(11), options, 0);
    progress.appendSent(i(10), 0, i(0), 0);
    progress.rejected(i(10), i(10), 5);
    expect(progress.next).toBe(10);
    const matched = replicating();
    matched.pause();
    matched.heartbeatAnswered({ sequence: 1, sentAt: 2_000, lastIndex: i(20) }, 2_000);
    matched.appendSent(i(11), 0, i(0), 2_000);
    matched.rejected(i(11), i(3), 2_005);
    expect(matched.next).toBe(12);
  });

  test('ignores the rejection of an earlier probe', () => {
    const progress = new Progress(i(11), options, 0);
    progress.appendSent(i(10), 0, i(0), 0);
    progress.rejected(i(10), i(4), 5);
    progress.appendSent(i(4), 0, i(0), 5);
    progress.rejected(i(10), i(2), 6);
    expect(progress).toMatchObject({ canSend: false, next: 5 });
  });

  test('is repeated with back-off, then left to the heartbeats', () => {
    const progress = new Progress(i(11), options, 0);
    const sentAt: number[] = [];
    let now = 0;
    while (progress.canSend) {
      progress.appendSent(i(10), 0, i(0), now);
      sentAt.push(now);
      if (progress.retransmitAt === never) break;
      now = progress.retransmitAt;
      progress.expire(now);
    }
    expect(sentAt).toEqual([0, 100, 300]);
    expect(progress.canSend).toBe(false);
    progress.heartbeatAnswered({ sequence: 1, sentAt: 1_000, lastIndex: i(3) }, 1_001);
    expect(progress).toMatchObject({ canSend: true, next: 4, activeAt: 1_000 });
  });
});

describe('replicate', () => {
  test('sends ahead until its window is full, by messages and by bytes', () => {
    const progress = replicating();
    for (let n = 12; n <= 15; n++) progress.appendSent(i(n), 10, i(0), 1_000);
    expect(progress).toMatchObject({ canSend: false, next: 16 });
    progress.accepted(i(13), true, 1_010);
    expect(progress.canSend).toBe(true);
    progress.appendSent(i(16), 5_000, i(0), 1_010);
    expect(progress.canSend).toBe(false);
  });

  test('stays when something was lost, and goes on from the gap', () => {
    const progress = replicating();
    for (let n = 12; n <= 14; n++) progress.appendSent(i(n), 10, i(0), 1_000);
    progress.rejected(i(12), i(11), 1_010);
    expect(progress).toMatchObject({ next: 12, canSend: true, state: { kind: 'replicate', gaps: 1 } });
  });

  test('takes the rejections of one round trip for one gap', () => {
    const progress = replicating();
    for (let n = 12; n <= 14; n++) progress.appendSent(i(n), 10, i(0), 1_000);
    progress.rejected(i(12), i(11), 1_010);
    progress.appendSent(i(14), 30, i(0), 1_010);
    progress.rejected(i(13), i(11), 1_011);
    expect(progress).toMatchObject({ next: 15, state: { kind: 'replicate', gaps: 1 } });
  });

  test('ends with the third gap without progress', () => {
    const progress = replicating();
    for (const now of [1_000, 1_100, 1_200]) {
      expect(progress.state.kind).toBe('replicate');
      progress.appendSent(i(13), 10, i(0), now);
      progress.appendSent(i(14), 10, i(0), now);
      progress.rejected(i(13), i(11), now + 30);
    }
    expect(progress).toMatchObject({ next: 12, canSend: true, state: { kind: 'probe' } });
  });

  test('counts gaps anew after progress', () => {
    const progress = replicating();
    for (let n = 12; n < 20; n++) {
      const now = n * 100;
      progress.appendSent(i(n), 10, i(0), now);
      progress.appendSent(i(n + 1), 10, i(0), now);
      progress.rejected(i(n), i(n - 1), now + 30);
      progress.appendSent(i(n), 10, i(0), now + 30);
      progress.accepted(i(n), true, now + 50);
    }
    expect(progress.state.kind).toBe('replicate');
  });

  test('ends when nothing comes back in time; the timer runs only while something is under way', () => {
    const progress = replicating();
    progress.appendSent(i(12), 10, i(0), 2_000);
    const { retransmitAt } = progress;
    expect(retransmitAt).toBeGreaterThan(2_020);
    expect(retransmitAt).toBeLessThan(2_100);
    progress.expire(retransmitAt - 1);
    expect(progress.state.kind).toBe('replicate');
    progress.expire(retransmitAt);
    expect(progress).toMatchObject({ state: { kind: 'probe' }, next: 12, canSend: true });
    const answered = replicating();
    answered.appendSent(i(12), 10, i(0), 2_000);
    answered.accepted(i(12), true, 2_010);
    expect(answered.retransmitAt).toBe(never);
  });

  test('a heartbeat answer that lacks an append sent before it shows the loss of the tail', () => {
    const progress = replicating();
    progress.appendSent(i(12), 10, i(0), 2_000);
    progress.heartbeatAnswered({ sequence: 1, sentAt: 1_999, lastIndex: i(11) }, 2_001);
    expect(progress.next).toBe(13);
    progress.heartbeatAnswered({ sequence: 1, sentAt: 2_001, lastIndex: i(11) }, 2_002);
    expect(progress).toMatchObject({ next: 12, state: { kind: 'replicate' } });
  });

  test('old answers change nothing', () => {
    const progress = replicating();
    progress.appendSent(i(12), 10, i(0), 2_000);
    expect(progress.accepted(i(5), true, 2_001)).toBe(false);
    expect(progress.accepted(i(11), true, 2_001)).toBe(false);
    progress.rejected(i(11), i(2), 2_001);
    progress.rejected(i(4), i(2), 2_001);
    expect(progress).toMatchObject({ match: 11, next: 13, state: { kind: 'replicate', gaps: 0 } });
  });

  test('remembers what commit index the peer was told', () => {
    const progress = replicating();
    progress.appendSent(i(11), 0, i(9), 2_000);
    expect(progress.commitSent).toBe(9);
    expect(progress.retransmitAt).toBe(never);
  });
});

describe('snapshot', () => {
  const snapshot = (bytes: number): Snapshot => ({
    meta: { last: { term: toTerm(1), index: i(50) }, configuration: configuration([1]) },
    data: new Uint8Array(bytes),
    digest: new Uint8Array(),
  });
  const last = snapshot(0).meta.last;

  /** Everything that may leave now; returns the offsets. */
  function sendAll(progress: Progress, now = 2_000): number[] {
    const offsets: number[] = [];
    for (let next = progress.nextChunk; next !== null; next = progress.nextChunk) {
      offsets.push(next.offset);
      progress.chunkSent(Math.min(100, next.snapshot.data.length - next.offset), now);
    }
    return offsets;
  }

  function started(bytes = 1_000): Progress {
    const progress = replicating();
    progress.snapshotStarted(snapshot(bytes));
    return progress;
  }

  test('sends one chunk, then a window of them, each as the peer takes the ones before', () => {
    const progress = started();
    expect(progress.canSend).toBe(false);
    expect(sendAll(progress)).toEqual([0]);
    progress.chunksReceived(last, 100, 2_001);
    expect(sendAll(progress)).toEqual([100, 200, 300]);
    progress.chunksReceived(last, 200, 2_002);
    expect(sendAll(progress)).toEqual([400]);
    progress.chunksReceived(last, 500, 2_003);
    expect(sendAll(progress)).toEqual([500, 600, 700]);
    progress.chunksReceived(last, 800, 2_004);
    expect(sendAll(progress)).toEqual([800, 900]);
    progress.chunksReceived(last, 900, 2_005);
    expect(sendAll(progress)).toEqual([]);
    progress.accepted(i(50), true, 2_100);
    expect(progress).toMatchObject({ match: 50, next: 51, state: { kind: 'replicate' } });
  });

  test('goes on with what the peer has of an earlier attempt', () => {
    const progress = started();
    sendAll(progress);
    progress.chunksReceived(last, 700, 2_001);
    expect(sendAll(progress)).toEqual([700, 800, 900]);
  });

  test('of nothing is one empty chunk', () => {
    const progress = started(0);
    expect(sendAll(progress)).toEqual([0]);
    progress.accepted(i(50), true, 2_100);
    expect(progress.state.kind).toBe('replicate');
  });

  test('sends again what was lost, once for many reports of it', () => {
    const progress = started();
    sendAll(progress);
    progress.chunksReceived(last, 100, 2_001);
    sendAll(progress);
    for (let n = 0; n < 3; n++) progress.chunksReceived(last, 100, 2_010);
    expect(sendAll(progress, 2_010)).toEqual([100, 200, 300]);
    progress.chunksReceived(last, 100, 2_011);
    expect(sendAll(progress, 2_011)).toEqual([]);
  });

  test('begins anew with a peer that has lost what it had', () => {
    const progress = started();
    sendAll(progress);
    progress.chunksReceived(last, 700, 2_001);
    sendAll(progress);
    progress.chunksReceived(last, 0, 2_500);
    expect(sendAll(progress, 2_500)).toEqual([0, 100, 200]);
  });

  test('heeds no report about another one, or of more than there is', () => {
    const progress = started();
    sendAll(progress);
    progress.chunksReceived({ ...last, index: i(49) }, 100, 2_001);
    progress.chunksReceived(last, 1_001, 2_001);
    expect(sendAll(progress)).toEqual([]);
  });

  test('is not ended by a rejection, and is by the acknowledgement', () => {
    const progress = started();
    progress.rejected(i(12), i(3), 2_001);
    expect(progress.state.kind).toBe('snapshot');
    progress.accepted(i(50), true, 2_100);
    expect(progress).toMatchObject({ match: 50, next: 51, state: { kind: 'replicate' } });
  });

  test('an acknowledgement from before that does not reach the log is not enough', () => {
    const progress = started();
    progress.accepted(i(12), false, 2_001);
    expect(progress).toMatchObject({ match: 12, state: { kind: 'snapshot' } });
  });

  test('an old heartbeat answer that ends where it does takes back nothing that was acknowledged since', () => {
    const progress = replicating();
    progress.snapshotStarted(snapshot(10));
    progress.accepted(i(last.index + 2), false, 1_000);
    progress.heartbeatAnswered({ sequence: 1, sentAt: 500, lastIndex: last.index }, 1_010);
    expect(progress).toMatchObject({ match: last.index + 2, next: last.index + 3, state: { kind: 'probe' } });
  });

  test('a lost acknowledgement shows in the heartbeat answer, and is proven by an append', () => {
    const progress = started();
    progress.heartbeatAnswered({ sequence: 1, sentAt: 2_100, lastIndex: i(49) }, 2_101);
    expect(progress.state.kind).toBe('snapshot');
    progress.heartbeatAnswered({ sequence: 2, sentAt: 2_200, lastIndex: i(50) }, 2_201);
    expect(progress).toMatchObject({ match: 11, next: 51, canSend: true, state: { kind: 'probe' } });
  });

  test('is tried again when nothing comes back', () => {
    const progress = started();
    sendAll(progress);
    expect(progress.retransmitAt).toBe(2_000 + options.snapshotRetryMs);
    progress.expire(progress.retransmitAt);
    expect(progress).toMatchObject({ next: 12, canSend: true, state: { kind: 'probe' } });
  });

  test('goes on at once when a new way to the peer opens', () => {
    const progress = started();
    sendAll(progress);
    progress.chunksReceived(last, 100, 2_001);
    sendAll(progress);
    progress.reachable(2_100);
    expect(sendAll(progress, 2_100)).toEqual([100, 200, 300]);
  });
});

test('pausing stops sending until the peer answers a heartbeat', () => {
  const progress = replicating();
  progress.appendSent(i(12), 10, i(0), 2_000);
  progress.pause();
  expect(progress).toMatchObject({ canSend: false, retransmitAt: never, next: 12 });
  progress.heartbeatAnswered({ sequence: 1, sentAt: 2_250, lastIndex: i(12) }, 2_251);
  expect(progress).toMatchObject({ canSend: true, next: 12 });
});

describe('a new way to the peer', () => {
  test('makes a heartbeat due, and sends again what is waited for', () => {
    const probe = new Progress(i(11), options, 0);
    probe.appendSent(i(10), 0, i(0), 0);
    probe.reachable(50);
    expect(probe).toMatchObject({ canSend: true, next: 11, heartbeatAt: 50 });
  });

  test('does not disturb what goes well', () => {
    const progress = replicating();
    progress.appendSent(i(12), 10, i(0), 2_000);
    progress.reachable(2_001);
    expect(progress).toMatchObject({ next: 13, heartbeatAt: 2_001, state: { kind: 'replicate' } });
  });
});

test('sending beyond the window is a broken invariant', () => {
  const inflight = new Inflight(10, 1);
  inflight.add({ last: i(1), bytes: 5, at: 0 });
  expect(() => inflight.add({ last: i(2), bytes: 5, at: 0 })).toThrow('beyond the window');
  inflight.freeTo(i(1));
  expect(inflight.isFull).toBe(false);
  expect(inflight.oldest).toBeUndefined();
});
