/**
 * Cluster time: milliseconds that advance by the leader's monotonic clock from the last stamp in the log. Wall clocks
 * have no say, so a host whose clock is wrong by a year changes nothing. Pure: the caller reads the clock.
 */
import { type ClusterTime, type Lease, toClusterTime } from './lease.ts';

const HOUR_MS = 3_600_000;
/** flannel's. Ending only marks a lease absent. */
export const LEASE_LIFETIME_MS: number = 24 * HOUR_MS;
/** An absent lease is given to somebody else no earlier than this after its lifetime ended. */
export const ABSENT_REUSE_MS: number = 7 * 24 * HOUR_MS;
/** A repeated request gets the same answer for this long; no client of ours repeats one later. */
export const ANSWER_LIFETIME_MS: number = HOUR_MS / 6;

/** A stamp, and what the local monotonic clock said when it was seen. */
export interface TimeAnchor {
  readonly time: ClusterTime;
  readonly monotonicMs: number;
}

/** Cluster time now, by the local monotonic clock. Never before the anchor. */
export function clusterTimeAt(anchor: TimeAnchor, monotonicMs: number): ClusterTime {
  return toClusterTime(anchor.time + Math.max(0, Math.floor(monotonicMs - anchor.monotonicMs)));
}

/** The anchor after a stamp was seen in the log: the later of both, so time never goes back. */
export function observeStamp(anchor: TimeAnchor, stamp: ClusterTime, monotonicMs: number): TimeAnchor {
  const now = clusterTimeAt(anchor, monotonicMs);
  return stamp > now ? { time: stamp, monotonicMs } : anchor;
}

export function addTime(time: ClusterTime, ms: number): ClusterTime {
  return toClusterTime(Math.min(time + ms, Number.MAX_SAFE_INTEGER));
}

/** Leases whose lifetime has ended without the log saying so yet, for the leader's `mark-absent`. */
export function expiredLeases(leases: Iterable<Lease>, now: ClusterTime): readonly Lease[] {
  return [...leases].filter((lease) => isExpired(lease, now));
}

export function isExpired(lease: Lease, now: ClusterTime): boolean {
  return lease.state === 'active' && lease.expiresAt <= now;
}

/** When the owner should renew. */
export function renewalDue(lease: Lease, marginMs: number): ClusterTime {
  return toClusterTime(Math.max(0, lease.expiresAt - marginMs));
}
