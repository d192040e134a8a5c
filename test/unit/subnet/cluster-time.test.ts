import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  addTime,
  clusterTimeAt,
  expiredLeases,
  LEASE_LIFETIME_MS,
  observeStamp,
  renewalDue,
} from '../../../src/subnet/cluster-time.ts';
import { leaseKey, toClusterTime } from '../../../src/subnet/lease.ts';
import { acquireCommand, cluster, DAY_MS, HOUR_MS } from './samples.ts';

const at = toClusterTime;

it('advances by the monotonic clock in whole milliseconds', () => {
  const anchor = { time: at(1_000), monotonicMs: 50.5 };
  expect([clusterTimeAt(anchor, 50.5), clusterTimeAt(anchor, 52.4), clusterTimeAt(anchor, 0)]).toEqual([
    1_000, 1_001, 1_000,
  ]);
});

it('never goes back, whatever stamps come', () => {
  const steps = fc.array(fc.tuple(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.nat({ max: 2_000_000 })));
  fc.assert(
    fc.property(steps, (all) => {
      let anchor = { time: at(0), monotonicMs: 0 };
      let clock = 0;
      let last = 0;
      for (const [elapsed, stamp] of all) {
        clock += elapsed;
        anchor = observeStamp(anchor, at(stamp), clock);
        const now = clusterTimeAt(anchor, clock);
        expect(now).toBeGreaterThanOrEqual(Math.max(last, stamp));
        last = now;
      }
    }),
  );
});

it('says which leases have expired and when one is due', () => {
  const replica = cluster(2);
  const { lease } = replica.expect('acquired', acquireCommand(2, { time: at(5) }));
  expect(lease.expiresAt).toBe(5 + LEASE_LIFETIME_MS);
  expect(renewalDue(lease, HOUR_MS)).toBe(5 + 23 * HOUR_MS);
  expect(expiredLeases(replica.state.leases.values(), at(4 + DAY_MS))).toEqual([]);
  expect(expiredLeases(replica.state.leases.values(), at(5 + DAY_MS))).toEqual([lease]);
  replica.apply({ kind: 'mark-absent', time: at(5 + DAY_MS), subnets: [leaseKey(lease)] });
  expect(expiredLeases(replica.state.leases.values(), at(9 + DAY_MS)), 'said once').toEqual([]);
});

it('ends at the last safe integer rather than beyond', () => {
  expect(addTime(at(Number.MAX_SAFE_INTEGER), DAY_MS)).toBe(Number.MAX_SAFE_INTEGER);
});
