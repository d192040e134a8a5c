/**
 * Who belongs to the simulated cluster, and what may happen to them: of every set of voters that may be in force a
 * majority keeps its disks, because without one Raft promises nothing, and no replica id returns once it was removed.
 */
import type { Configuration, ReplicaId } from '../core/types.ts';
import { isBehind } from '../transport/witness.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { Random } from './random.ts';

/** Of those that have a disk: every one costs steps. */
const REPLICAS_MAX = 12;
/** Ids are cheap. */
const IDS_MAX = 30;
const VOTERS_MAX = 7;

export class SimulatedFleet {
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;

  constructor(cluster: SimulatedCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Whether Raft survives it when this replica never returns. */
  canLose(victim: ReplicaId): boolean {
    if (this.#cluster.replicas.size >= IDS_MAX) return false;
    return this.#configurations().every(({ voters, outgoing }) => {
      return [voters, outgoing].every((half) => this.#survives(half, victim));
    });
  }

  /**
   * Whether its peers would notice that the replica lost everything since its copy was made. Each voter has to know, from
   * its disk, for any of them may be the one that asks for its vote or counts its acknowledgement. Where one does not, the
   * copy is too new, and no rule of Raft says that such a loss is survived.
   */
  wouldNotice(victim: ReplicaId): boolean {
    const copied = this.#cluster.replicas.get(victim)?.disk.copied;
    if (copied == null) return false;
    const voters = new Set(
      this.#configurations().flatMap(({ voters, outgoing }) => [...voters, ...outgoing]),
    );
    voters.delete(victim);
    return [...voters].every((id) => {
      const disk = this.#cluster.replicas.get(id)?.disk;
      return disk?.isSound !== true || isBehind(copied, disk.storage.recover().seen.get(victim));
    });
  }

  /** Any set of members that keeps a majority of disks: promotions, demotions, removals, replacements, all at once. */
  changeAtRandom(): boolean {
    const leader = this.#cluster.leader;
    const configuration = leader?.status?.configuration;
    // A stopped one would take the wish when it goes on, and by then other disks may be gone.
    if (leader === null || leader.isPaused || configuration === undefined) return false;
    const random = this.#random;
    if (random.chance(0.3) && this.mayGrow()) this.#cluster.addFresh();
    const present = [...configuration.voters, ...configuration.learners];
    const known = this.#everMembers();
    const fresh = [...this.#cluster.replicas.keys()].filter((id) => !known.has(id));
    const pool = [...present, ...fresh].filter((id) => this.#hasDisk(id) || random.chance(0.5));
    const voters = random.sample(pool, random.integer(1, VOTERS_MAX));
    const rest = pool.filter((id) => !voters.includes(id));
    const learners = random.sample(rest, random.integer(0, rest.length));
    if (!this.isSurvivable(voters)) return false;
    const result = leader.changeConfiguration({ voters, learners });
    if (result?.kind !== 'appended') return false;
    this.#cluster.trace(
      `membership by ${leader.id} voters ${voters.join(',')} learners ${learners.join(',')}`,
    );
    return true;
  }

  /** A majority of them is there, or will be. */
  isSurvivable(voters: readonly ReplicaId[]): boolean {
    return voters.filter((id) => this.#hasDisk(id)).length * 2 > voters.length;
  }

  mayGrow(): boolean {
    const ids = [...this.#cluster.replicas.keys()];
    return ids.length < IDS_MAX && ids.filter((id) => this.#hasDisk(id)).length < REPLICAS_MAX;
  }

  #survives(half: readonly ReplicaId[], victim: ReplicaId): boolean {
    if (!half.includes(victim)) return true;
    const left = half.filter((id) => id !== victim && this.#hasDisk(id));
    return left.length * 2 > half.length;
  }

  #hasDisk(id: ReplicaId): boolean {
    return this.#cluster.replicas.get(id)?.disk.isSound === true;
  }

  /** A removed id never returns. */
  #everMembers(): ReadonlySet<ReplicaId> {
    return new Set(
      this.#configurations().flatMap(({ voters, outgoing, learners }) => [
        ...voters,
        ...outgoing,
        ...learners,
      ]),
    );
  }

  /** Everything that may be in force: what the running hold in their logs, and what is on the disks of the others. */
  #configurations(): Configuration[] {
    const stored = [...this.#cluster.replicas.values()]
      .filter((replica) => !replica.disk.lost)
      .flatMap(({ disk }) => disk.configurations());
    return [...stored, ...this.#cluster.checker.configurationsInUse()];
  }
}
