/**
 * The library's autopilot at the helm of simulated leaders: each leader, also one that only believes that it leads, asks it
 * again and again for the next membership, as the product does. Who belongs to the cluster and who is not to vote is what
 * chance wishes; how the voters come to follow is the autopilot's.
 */
import type { ReplicaId } from '../core/types.ts';
import { nextMembership } from '../runtime/autopilot.ts';
import { PeerHealth } from '../runtime/peer-health.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { SimulatedFleet } from './fleet.ts';
import type { Random } from './random.ts';
import type { SimulatedReplica } from './replica.ts';

/** More than this many entries behind, a learner is not ready. */
const TRAILING_ENTRIES_MAX = 50;

export class SimulatedPilot {
  readonly #cluster: SimulatedCluster;
  readonly #fleet: SimulatedFleet;
  readonly #random: Random;
  readonly #electionMs: number;
  readonly #limits: { readonly votersMin: number; readonly votersMax: number };
  readonly #unwanted = new Set<ReplicaId>();
  readonly #health = new Map<ReplicaId, { readonly life: number; readonly of: PeerHealth }>();

  constructor(cluster: SimulatedCluster, fleet: SimulatedFleet, random: Random, electionMs: number) {
    this.#cluster = cluster;
    this.#fleet = fleet;
    this.#random = random;
    this.#electionMs = electionMs;
    this.#limits = { votersMin: 3, votersMax: random.pick([3, 5, 7]) ?? 3 };
  }

  start(): void {
    this.#cluster.timeline.after(Math.ceil(this.#electionMs / 4), () => {
      for (const replica of this.#cluster.up) if (replica.leads) this.#steer(replica);
      this.start();
    });
  }

  /** A host comes, goes, or is to vote or not to. */
  wish(): boolean {
    const { members } = this.#cluster;
    const one = this.#random.pick([...members]);
    if (one === undefined) return false;
    const what = this.#random.pick(['come', 'go', 'vote', 'listen'] as const);
    switch (what) {
      case 'come':
        if (!this.#fleet.mayGrow()) return false;
        members.add(this.#cluster.addFresh().id);
        break;
      case 'go':
        if (members.size <= this.#limits.votersMin) return false;
        members.delete(one);
        break;
      case 'listen':
        this.#unwanted.add(one);
        break;
      default:
        this.#unwanted.delete(one);
    }
    this.#cluster.trace(`wish that ${one} shall ${what}`);
    return true;
  }

  /** Nothing is left to change. */
  isAtRest(leader: SimulatedReplica): boolean {
    return this.#next(leader) === null;
  }

  #steer(leader: SimulatedReplica): void {
    // A stopped one would do it when it goes on, and by then other disks may be gone.
    const target = leader.isPaused ? null : this.#next(leader);
    if (target === null || !this.#fleet.isSurvivable(target.voters)) return;
    if (leader.changeConfiguration(target)?.kind !== 'appended') return;
    const { voters, learners } = target;
    this.#cluster.trace(
      `autopilot of ${leader.id} voters ${voters.join(',')} learners ${learners.join(',')}`,
    );
  }

  #next(leader: SimulatedReplica): ReturnType<typeof nextMembership> {
    const { status } = leader;
    if (status === null) return null;
    const { stable, dead } = this.#healthOf(leader).observe(status, leader.monotonicMs);
    const { members } = this.#cluster;
    return nextMembership({
      configuration: status.configuration,
      members,
      wanted: [...members],
      spares: [],
      unwanted: this.#unwanted,
      ready: stable,
      dead,
      limits: this.#limits,
    });
  }

  #healthOf({ id, life }: SimulatedReplica): PeerHealth {
    const known = this.#health.get(id);
    if (known?.life === life) return known.of;
    const of = new PeerHealth({
      activeMs: this.#electionMs,
      trailingEntriesMax: TRAILING_ENTRIES_MAX,
      stableMs: this.#electionMs,
      deadMs: 4 * this.#electionMs,
    });
    this.#health.set(id, { life, of });
    return of;
  }
}
