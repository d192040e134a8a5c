import { describe, expect, it } from 'vitest';
import {
  BLOCKED_PROBE_MS_MAX,
  BLOCKED_PROBE_MS_MIN,
  DATAGRAM_BLOCKED_MS,
  DATAGRAM_DOUBT_MS,
  DATAGRAM_PROBE_MS,
  DATAGRAM_PROOF_MS,
} from '../../../../raft/limits.ts';
import { DatagramPath } from '../../../../raft/transport/datagram-path.ts';

const START = 1_000;

function newPath(random = 0.5): DatagramPath {
  const path = new DatagramPath(() => random);
  path.renew(START);
  return path;
}

function provenPath(): DatagramPath {
  const path = newPath();
  path.sent(0, START);
  path.acknowledged(1, START);
  return path;
}

/** Proven at START, then nothing is acknowledged any more while the peer goes on to speak. */
function blockedPath(random = 0.5): { path: DatagramPath; nowMs: number } {
  const path = newPath(random);
  path.sent(0, START);
  const nowMs = START + DATAGRAM_BLOCKED_MS;
  expect(path.tick(nowMs, nowMs)).toBe(true);
  return { path, nowMs };
}

describe('a datagram path', () => {
  it('carries nothing before its first acknowledgement', () => {
    const path = newPath();
    expect([path.state, path.carries(START)]).toEqual(['unproven', false]);
    path.sent(0, START);
    path.heard();
    expect(path.carries(START)).toBe(false);
    expect(path.acknowledged(0, START)).toBe(false);
    expect(path.carries(START)).toBe(false);
    expect(path.acknowledged(1, START + 3)).toBe(false);
    expect([path.state, path.carries(START + 3)]).toEqual(['ok', true]);
  });

  it('asks at once, and again after an interval, until it is proven', () => {
    const path = newPath();
    expect(path.takeProbe(START - 1)).toBe(false);
    expect(path.takeProbe(START)).toBe(true);
    path.sent(0, START);
    expect(path.takeProbe(START + DATAGRAM_PROBE_MS - 1)).toBe(false);
    expect(path.takeProbe(START + DATAGRAM_PROBE_MS)).toBe(true);
    path.acknowledged(1, START + DATAGRAM_PROBE_MS + 1);
    expect(path.takeProbe(START + 5 * DATAGRAM_PROBE_MS)).toBe(false);
  });

  it('asks and gives way to the stream when an acknowledgement is late', () => {
    const path = provenPath();
    const sentMs = START + 100;
    path.sent(1, sentMs);
    path.sent(2, sentMs + 50);
    expect(path.carries(sentMs + DATAGRAM_DOUBT_MS - 1)).toBe(true);
    expect(path.takeProbe(sentMs + DATAGRAM_DOUBT_MS - 1)).toBe(false);
    expect(path.carries(sentMs + DATAGRAM_DOUBT_MS)).toBe(false);
    expect(path.takeProbe(sentMs + DATAGRAM_DOUBT_MS)).toBe(true);
    path.acknowledged(1, sentMs + DATAGRAM_DOUBT_MS + 1);
    expect(path.carries(sentMs + DATAGRAM_DOUBT_MS + 1)).toBe(false);
    path.acknowledged(2, sentMs + DATAGRAM_DOUBT_MS + 2);
    expect(path.carries(sentMs + DATAGRAM_DOUBT_MS + 2)).toBe(true);
  });

  it('proves itself again after a long silence', () => {
    const path = provenPath();
    expect(path.carries(START + DATAGRAM_PROOF_MS - 1)).toBe(true);
    expect(path.carries(START + DATAGRAM_PROOF_MS)).toBe(false);
    expect(path.takeProbe(START + DATAGRAM_PROOF_MS)).toBe(true);
    path.sent(1, START + DATAGRAM_PROOF_MS);
    path.acknowledged(2, START + DATAGRAM_PROOF_MS + 1);
    expect(path.carries(START + DATAGRAM_PROOF_MS + 1)).toBe(true);
  });

  it('is blocked when nothing is acknowledged for a second while the peer speaks, and says so once', () => {
    const path = provenPath();
    path.sent(1, START);
    const nowMs = START + DATAGRAM_BLOCKED_MS;
    expect(path.tick(nowMs - 1, nowMs - 1)).toBe(false);
    expect(path.tick(nowMs, START)).toBe(false);
    expect(path.state).toBe('ok');
    expect(path.tick(nowMs, START + 1)).toBe(true);
    expect(path.state).toBe('blocked');
    expect(path.tick(nowMs + 1, nowMs + 1)).toBe(false);
  });

  it('is never blocked while nothing waits for an acknowledgement', () => {
    const path = provenPath();
    for (const nowMs of [START + DATAGRAM_BLOCKED_MS, START + 60_000])
      expect(path.tick(nowMs, nowMs)).toBe(false);
  });

  it.each([0, 0.999])('asks less and less often while it is blocked, spread by %d', (random) => {
    const { path, nowMs } = blockedPath(random);
    const at: number[] = [];
    for (let ms = nowMs; ms < nowMs + 120_000; ms += 10) if (path.takeProbe(ms)) at.push(ms);
    const gaps = at.slice(1).map((ms, i) => ms - (at[i] ?? 0));
    const scale = 0.5 + random / 2;
    expect(gaps[0]).toBeGreaterThanOrEqual(BLOCKED_PROBE_MS_MIN * scale - 10);
    expect(gaps[0]).toBeLessThanOrEqual(BLOCKED_PROBE_MS_MIN * scale + 10);
    expect(gaps).toEqual(gaps.toSorted((a, b) => a - b));
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(BLOCKED_PROBE_MS_MAX * scale - 10);
    expect(gaps.at(-1)).toBeLessThanOrEqual(BLOCKED_PROBE_MS_MAX);
  });

  it('is asked again soon when a datagram of the peer has come through', () => {
    const { path, nowMs } = blockedPath();
    for (let ms = nowMs; ms < nowMs + 60_000; ms += 10) path.takeProbe(ms);
    const laterMs = nowMs + 60_000 + BLOCKED_PROBE_MS_MAX / 4;
    path.takeProbe(laterMs);
    path.heard();
    expect(path.takeProbe(laterMs + DATAGRAM_PROBE_MS)).toBe(true);
  });

  it('is taken up again with the first acknowledgement, and says so once', () => {
    const { path, nowMs } = blockedPath();
    path.sent(1, nowMs);
    expect(path.acknowledged(1, nowMs + 1)).toBe(true);
    expect([path.state, path.carries(nowMs + 1)]).toEqual(['ok', true]);
    path.sent(2, nowMs + 2);
    expect(path.acknowledged(3, nowMs + 3)).toBe(false);
  });

  it('has to prove itself for new keys; what was blocked stays so until then', () => {
    const proven = provenPath();
    proven.renew(START + 10);
    expect([proven.state, proven.carries(START + 10)]).toEqual(['unproven', false]);
    const { path, nowMs } = blockedPath();
    path.renew(nowMs + 5);
    expect(path.state).toBe('blocked');
    expect(path.takeProbe(nowMs + 5)).toBe(true);
    path.sent(0, nowMs + 5);
    expect(path.acknowledged(1, nowMs + 6)).toBe(true);
  });
});
