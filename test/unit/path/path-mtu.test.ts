import { describe, expect, test } from 'vitest';
import { PathMtu } from '../../../src/path/path-mtu.ts';

/** Probes until nothing is left to find out; how many it took. */
function settle(mtu: PathMtu, passes: number, nowMs = 0): number {
  for (let probes = 0; ; probes++) {
    if (nowMs < mtu.dueMs) return probes;
    if (mtu.next <= passes) mtu.answered(mtu.next, nowMs);
    else mtu.lost(mtu.next, 0, nowMs);
  }
}

describe('the length of packets on a path', () => {
  test('is what the links allow until probes say otherwise', () => {
    const mtu = new PathMtu(4, 1500);
    expect([mtu.mtu, mtu.proven]).toEqual([1500, null]);
    expect(settle(mtu, 9000)).toBe(1);
    expect([mtu.mtu, mtu.proven]).toEqual([1500, 1500]);
  });

  test('is found to the byte where less gets through, with a few dozen probes', () => {
    for (const passes of [576, 577, 1280, 1399, 1400, 1499, 8999]) {
      const mtu = new PathMtu(4, 9000);
      expect(settle(mtu, passes)).toBeLessThan(60);
      expect([passes, mtu.mtu, mtu.proven]).toEqual([passes, passes, passes]);
    }
  });

  test('does not change while it is searched', () => {
    const mtu = new PathMtu(4, 1500);
    for (let probes = 0; probes < 8; probes++) mtu.lost(mtu.next, 0, 0);
    expect(mtu.mtu).toBe(1500);
  });

  test('is not less for two lost probes, and not for five on a path that loses some anyway', () => {
    const clean = new PathMtu(4, 1500);
    for (let probes = 0; probes < 2; probes++) clean.lost(1500, 0, 0);
    expect(clean.next).toBe(1500);
    const lossy = new PathMtu(4, 1500);
    for (let probes = 0; probes < 6; probes++) lossy.lost(1500, 0.2, 0);
    expect(lossy.next).toBe(1500);
  });

  test('is looked at again every minute: the same costs little, less and more are found', () => {
    const mtu = new PathMtu(4, 1500);
    settle(mtu, 1400);
    expect(settle(mtu, 1400, 59_000)).toBe(0);
    expect(settle(mtu, 1400, 60_000)).toBeLessThan(8);
    expect(mtu.mtu).toBe(1400);
    settle(mtu, 1300, 120_000);
    expect(mtu.mtu).toBe(1300);
    settle(mtu, 1500, 180_000);
    expect(mtu.mtu).toBe(1500);
  });

  test('begins anew when the links change', () => {
    const mtu = new PathMtu(6, 1500);
    settle(mtu, 1400);
    mtu.setLinkMtu(9000);
    expect([mtu.mtu, mtu.proven]).toEqual([9000, null]);
    settle(mtu, 100);
    // Every link of IPv6 carries as much.
    expect(mtu.mtu).toBe(1280);
  });
});
