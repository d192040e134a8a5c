/**
 * Makes things go wrong, from one source of chance: crashes, pauses, partitions of every shape, disks that are gone for
 * good, and membership changes in the middle of it. Breaks only what Raft promises to survive: of every set of voters
 * that may still be in force a majority keeps its disks, and a replica that lost its disk never returns under its id.
 */
import type { Configuration, ReplicaId } from '../core/types.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { Random } from './random.ts';
import type { SimulatedReplica } from './replica.ts';
import { CALM_NETWORK, type Fault, type SwarmParameters } from './swarm.ts';

/** Ids are cheap, but every replica costs steps. */
const REPLICAS_MAX = 16;
const VOTERS_MAX = 7;

export class Nemesis {
  /** How often each fault happened. */
  readonly counts: Map<Fault, number> = new Map();
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  readonly #parameters: SwarmParameters;
  #stopped = false;

  constructor(cluster: SimulatedCluster, parameters: SwarmParameters, random: Random) {
    this.#cluster = cluster;
    this.#parameters = parameters;
    this.#random = random;
  }

  start(): void {
    const { faultEveryMsMax, faults } = this.#parameters;
    this.#cluster.timeline.after(this.#random.integer(1, faultEveryMsMax), () => {
      if (this.#stopped) return;
      const fault = this.#random.pick(faults);
      if (fault !== undefined) this.#strike(fault);
      this.start();
    });
  }

  /** Ends every fault: the network is calm, and whoever has a disk is up. */
  heal(): void {
    this.#stopped = true;
    this.#cluster.trace('heal');
    this.#cluster.network.parameters = CALM_NETWORK;
    this.#cluster.network.heal();
    for (const replica of this.#cluster.replicas.values()) {
      replica.resume();
      replica.start();
    }
  }

  #strike(fault: Fault): void {
    const happened = this.#inflict(fault);
    if (happened) this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }

  /** False when there was nothing to break. */
  #inflict(fault: Fault): boolean {
    const victim = this.#random.pick(this.#cluster.up);
    switch (fault) {
      case 'crash':
        return victim !== undefined && this.#crash(victim);
      case 'crash-all':
        return this.#cluster.up.map((replica) => this.#crash(replica)).length > 0;
      case 'pause':
        return victim !== undefined && this.#pause(victim);
      case 'clock-jump':
        return victim !== undefined && this.#jumpClock(victim);
      case 'transfer':
        return this.#transfer();
      case 'disk-loss':
        return this.#loseDisk();
      case 'membership':
        return this.#changeMembership();
      default:
        return this.#partition(fault);
    }
  }

  #crash(replica: SimulatedReplica): boolean {
    this.#cluster.trace(`crash ${replica.id}`);
    replica.crash();
    this.#later(() => replica.start());
    return true;
  }

  #pause(replica: SimulatedReplica): boolean {
    if (replica.isPaused) return false;
    this.#cluster.trace(`pause ${replica.id}`);
    replica.pause();
    this.#later(() => {
      this.#cluster.trace(`resume ${replica.id}`);
      replica.resume();
    });
    return true;
  }

  /** To anybody: also to one that is down, cut off or far behind. */
  #transfer(): boolean {
    const leader = this.#random.pick(this.#cluster.up.filter((replica) => replica.leads));
    const target = this.#random.pick(leader?.status?.configuration.voters ?? []);
    if (leader === undefined || target === undefined) return false;
    if (leader.transferLeadership(target)?.kind !== 'started') return false;
    this.#cluster.trace(`transfer ${leader.id} to ${target}`);
    return true;
  }

  #jumpClock(replica: SimulatedReplica): boolean {
    this.#cluster.trace(`clock-jump ${replica.id}`);
    replica.jumpClock();
    return true;
  }

  #partition(shape: Extract<Fault, `partition-${string}`>): boolean {
    const ids = [...this.#cluster.replicas.keys()];
    if (ids.length < 2) return false;
    const size = shape === 'partition-isolate' ? 1 : this.#random.integer(1, ids.length - 1);
    const side = new Set(this.#random.sample(ids, size));
    const bridge = shape === 'partition-bridge' ? this.#random.pick(ids) : undefined;
    const oneWay = shape === 'partition-asymmetric';
    this.#cluster.trace(`${shape} ${[...side].join(',')} bridge ${bridge ?? 'none'}`);
    const isCut = (from: ReplicaId, to: ReplicaId): boolean => {
      if (from === bridge || to === bridge) return false;
      return oneWay ? side.has(from) && !side.has(to) : side.has(from) !== side.has(to);
    };
    this.#cluster.network.cut(isCut);
    this.#later(() => {
      // A newer partition stays.
      if (this.#cluster.network.heal(isCut)) this.#cluster.trace('partition ends');
    });
    return true;
  }

  #later(run: () => void): void {
    this.#cluster.timeline.after(this.#random.integer(1, this.#parameters.faultLastsMsMax), () => {
      if (!this.#stopped) run();
    });
  }

  #loseDisk(): boolean {
    const replicas = [...this.#cluster.replicas.values()].filter((replica) => !replica.disk.lost);
    const victim = this.#random.pick(replicas);
    if (victim === undefined || this.#cluster.replicas.size >= REPLICAS_MAX) return false;
    const survivable = this.#configurations().every(({ voters, outgoing }) => {
      return [voters, outgoing].every((half) => this.#survives(half, victim.id));
    });
    if (!survivable) return false;
    this.#cluster.trace(`disk-loss ${victim.id}`);
    victim.loseDisk();
    this.#cluster.addFresh();
    return true;
  }

  /** Everything that may be in force: what the running hold in their logs, and what is on the disks of the others. */
  #configurations(): Configuration[] {
    const stored = [...this.#cluster.replicas.values()]
      .filter((replica) => !replica.disk.lost)
      .flatMap(({ disk }) => {
        const { snapshot, entries } = disk.storage.recover();
        const logged = entries.flatMap((entry) =>
          entry.kind === 'configuration' ? [entry.configuration] : [],
        );
        return snapshot === null ? logged : [snapshot.meta.configuration, ...logged];
      });
    return [...stored, ...this.#cluster.checker.configurationsInUse()];
  }

  #survives(half: readonly ReplicaId[], victim: ReplicaId): boolean {
    if (!half.includes(victim)) return true;
    const left = half.filter((id) => id !== victim && this.#hasDisk(id));
    return left.length * 2 > half.length;
  }

  #hasDisk(id: ReplicaId): boolean {
    return this.#cluster.replicas.get(id)?.disk.lost === false;
  }

  /** Any set of members that keeps a majority of disks: promotions, demotions, removals, replacements, all at once. */
  #changeMembership(): boolean {
    const leader = this.#cluster.leader;
    const configuration = leader?.status?.configuration;
    if (leader === null || configuration === undefined) return false;
    if (this.#cluster.replicas.size < REPLICAS_MAX && this.#random.chance(0.3)) this.#cluster.addFresh();
    const present = [...configuration.voters, ...configuration.learners];
    const fresh = [...this.#cluster.replicas.keys()].filter(
      (id) => !present.includes(id) && this.#neverMember(id),
    );
    const pool = [...present, ...fresh].filter((id) => this.#hasDisk(id) || this.#random.chance(0.5));
    const voters = this.#random.sample(pool, this.#random.integer(1, VOTERS_MAX));
    const rest = pool.filter((id) => !voters.includes(id));
    const learners = this.#random.sample(rest, this.#random.integer(0, rest.length));
    if (voters.filter((id) => this.#hasDisk(id)).length * 2 <= voters.length) return false;
    const result = leader.changeConfiguration({ voters, learners });
    if (result?.kind !== 'appended') return false;
    this.#cluster.trace(
      `membership by ${leader.id} voters ${voters.join(',')} learners ${learners.join(',')}`,
    );
    return true;
  }

  /** A removed id never returns. */
  #neverMember(id: ReplicaId): boolean {
    return !this.#configurations().some(({ voters, outgoing, learners }) => {
      return voters.includes(id) || outgoing.includes(id) || learners.includes(id);
    });
  }
}
