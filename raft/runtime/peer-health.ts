/**
 * How a leader's peers are, for the autopilot: who has caught up, who has kept up for a while, who is dead. Looks at the
 * status of its own replica, as often as it is told to, and remembers since when what it saw has held. What a leader
 * did not see itself it does not believe, so all of it begins anew with every leadership.
 */
import type { PeerStatus, RaftStatus } from '../core/raft.ts';
import type { ReplicaId } from '../core/types.ts';
import { PEER_ACTIVE_MS, PEER_DEAD_MS, PEER_STABLE_MS, PEER_TRAILING_ENTRIES_MAX } from '../limits.ts';

export interface PeerHealthOptions {
  readonly activeMs: number;
  readonly trailingEntriesMax: number;
  readonly stableMs: number;
  readonly deadMs: number;
}

export interface PeerHealthReport {
  /** Learners that answer and have, but for what is just under way, the whole log. */
  readonly caughtUp: ReadonlySet<ReplicaId>;
  /** Those of them that have been so for a while. */
  readonly stable: ReadonlySet<ReplicaId>;
  /** Voters that have not answered for long. */
  readonly dead: ReadonlySet<ReplicaId>;
}

const DEFAULTS: PeerHealthOptions = {
  activeMs: PEER_ACTIVE_MS,
  trailingEntriesMax: PEER_TRAILING_ENTRIES_MAX,
  stableMs: PEER_STABLE_MS,
  deadMs: PEER_DEAD_MS,
};

export class PeerHealth {
  readonly #options: PeerHealthOptions;
  /** Of the leadership that was seen last. */
  #leaderSince: number | null = null;
  /** Since when each learner has been seen caught up, without a break. */
  #caughtUpSince: ReadonlyMap<ReplicaId, number> = new Map();

  constructor(options: Partial<PeerHealthOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** `now` is of the clock that the replica lives by. Empty while it does not lead. */
  observe(status: RaftStatus, now: number): PeerHealthReport {
    const { leaderSince, configuration, progress } = status;
    const { stableMs, deadMs } = this.#options;
    const before = leaderSince === this.#leaderSince ? this.#caughtUpSince : new Map<ReplicaId, number>();
    const since = new Map<ReplicaId, number>();
    for (const learner of configuration.learners) {
      if (this.#isCaughtUp(status, progress.get(learner), now))
        since.set(learner, before.get(learner) ?? now);
    }
    this.#leaderSince = leaderSince;
    this.#caughtUpSince = since;
    const isDead = (peer: PeerStatus | undefined): boolean =>
      peer !== undefined && now - peer.lastActive >= deadMs;
    return {
      caughtUp: new Set(since.keys()),
      stable: new Set([...since].flatMap(([learner, at]) => (now - at >= stableMs ? [learner] : []))),
      dead: new Set(configuration.voters.filter((voter) => isDead(progress.get(voter)))),
    };
  }

  #isCaughtUp({ commit }: RaftStatus, peer: PeerStatus | undefined, now: number): boolean {
    const { activeMs, trailingEntriesMax } = this.#options;
    return (
      peer !== undefined &&
      peer.state === 'replicate' &&
      now - peer.lastActive < activeMs &&
      commit - peer.match <= trailingEntriesMax
    );
  }
}
