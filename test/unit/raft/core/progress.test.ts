import { describe, expect, test } from 'vitest';
import { raftOptions } from '../../../../raft/core/options.ts';
import { Inflight, Progress } from '../../../../raft/core/progress.ts';
import { toLogIndex } from '../../../../raft/core/types.ts';

const i = toLogIndex;
const options = raftOptions({
  maxInflightMessages: 4,
  maxInflightBytes: 1_000,
  heartbeatMs: 250,
  retransmitMsInitial: 100,
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
    matched.heartbeatAnswered(2_000, i(20), 2_000);
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
    progress.heartbeatAnswered(1_000, i(3), 1_001);
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
    progress.heartbeatAnswered(1_999, i(11), 2_001);
    expect(progress.next).toBe(13);
    progress.heartbeatAnswered(2_001, i(11), 2_002);
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
  test('sends nothing else, and ends with the acknowledgement', () => {
    const progress = replicating();
    progress.snapshotSent(i(50), 2_000);
    expect(progress.canSend).toBe(false);
    progress.rejected(i(12), i(3), 2_001);
    expect(progress.state.kind).toBe('snapshot');
    progress.accepted(i(50), true, 2_100);
    expect(progress).toMatchObject({ match: 50, next: 51, state: { kind: 'replicate' } });
  });

  test('an acknowledgement from before that does not reach the log is not enough', () => {
    const progress = replicating();
    progress.snapshotSent(i(50), 2_000);
    progress.accepted(i(12), false, 2_001);
    expect(progress).toMatchObject({ match: 12, state: { kind: 'snapshot' } });
  });

  test('a lost acknowledgement shows in the heartbeat answer, and is proven by an append', () => {
    const progress = replicating();
    progress.snapshotSent(i(50), 2_000);
    progress.heartbeatAnswered(2_100, i(49), 2_101);
    expect(progress.state.kind).toBe('snapshot');
    progress.heartbeatAnswered(2_200, i(50), 2_201);
    expect(progress).toMatchObject({ match: 11, next: 51, canSend: true, state: { kind: 'probe' } });
  });

  test('is tried again when nothing comes back', () => {
    const progress = replicating();
    progress.snapshotSent(i(50), 2_000);
    expect(progress.retransmitAt).toBe(2_000 + options.snapshotRetryMs);
    progress.expire(progress.retransmitAt);
    expect(progress).toMatchObject({ next: 12, canSend: true, state: { kind: 'probe' } });
  });
});

test('pausing stops sending until the peer answers a heartbeat', () => {
  const progress = replicating();
  progress.appendSent(i(12), 10, i(0), 2_000);
  progress.pause();
  expect(progress).toMatchObject({ canSend: false, retransmitAt: never, next: 12 });
  progress.heartbeatAnswered(2_250, i(12), 2_251);
  expect(progress).toMatchObject({ canSend: true, next: 12 });
});

describe('a new way to the peer', () => {
  test('makes a heartbeat due, and sends again what is waited for', () => {
    const probe = new Progress(i(11), options, 0);
    probe.appendSent(i(10), 0, i(0), 0);
    probe.reachable(50);
    expect(probe).toMatchObject({ canSend: true, next: 11, heartbeatAt: 50 });
    const snapshot = replicating();
    snapshot.snapshotSent(i(50), 2_000);
    snapshot.reachable(2_100);
    expect(snapshot).toMatchObject({ canSend: true, next: 12, state: { kind: 'probe' } });
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
