/**
 * Makes things go wrong, from one source of chance: crashes, pauses, partitions of every shape, disks that are gone or
 * hold something else, clocks that jump, and transfers and membership changes in the middle of it. Breaks only what Raft
 * promises to survive (fleet.ts), and a replica that lost its disk never returns under its id.
 */
import type { ReplicaId } from '../core/types.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { CrashEffect } from './disk.ts';
import { SimulatedFleet } from './fleet.ts';
import { SimulatedPilot } from './pilot.ts';
import type { Random } from './random.ts';
import type { SimulatedReplica } from './replica.ts';
import { CALM_NETWORK, type Fault, type SwarmParameters } from './swarm.ts';

export class Nemesis {
  /** How often each fault happened, and each thing that a crash did to a write under way. */
  readonly counts: Map<Fault | CrashEffect, number> = new Map();
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  readonly #fleet: SimulatedFleet;
  /** Null where membership changes at random. */
  readonly #pilot: SimulatedPilot | null;
  readonly #parameters: SwarmParameters;
  #stopped = false;

  constructor(cluster: SimulatedCluster, parameters: SwarmParameters, random: Random) {
    this.#cluster = cluster;
    this.#parameters = parameters;
    this.#random = random;
    this.#fleet = new SimulatedFleet(cluster, random);
    const electionMs = parameters.cluster.options.electionTimeoutMsMin;
    this.#pilot = parameters.hasAutopilot
      ? new SimulatedPilot(cluster, this.#fleet, random.fork(), electionMs)
      : null;
    this.#pilot?.start();
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

  /** Whether the membership that this leader has is what it is to be. */
  isSettled(leader: SimulatedReplica): boolean {
    return this.#pilot?.isAtRest(leader) ?? true;
  }

  /** Ends every fault: the network is calm, and whoever has a disk is up. */
  heal(): void {
    this.#stopped = true;
    this.#cluster.trace('heal');
    this.#cluster.network.parameters = CALM_NETWORK;
    this.#cluster.network.heal();
    for (const replica of [...this.#cluster.replicas.values()]) {
      // Whom nobody has found out by now, nobody who knows better speaks to.
      if (replica.disk.isRolledBack) this.#cluster.retire(replica);
      replica.resume();
      replica.start();
    }
  }

  #strike(fault: Fault): void {
    if (this.#inflict(fault)) this.#count(fault);
  }

  #count(what: Fault | CrashEffect): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
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
      case 'bit-flip':
      case 'lost-tail':
        return this.#breakDisk(fault);
      case 'rollback':
        return this.#rollBack();
      case 'membership':
        return this.#pilot?.wish() ?? this.#fleet.changeAtRandom();
      default:
        return this.#partition(fault);
    }
  }

  #crash(replica: SimulatedReplica): boolean {
    const effect = replica.crash(this.#random.chance(0.5));
    this.#cluster.trace(`crash ${replica.id} ${effect}`);
    if (effect !== 'nothing') this.#count(effect);
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

  /** The damage shows when the replica starts again, and then it is retired. */
  #breakDisk(fault: 'disk-loss' | 'bit-flip' | 'lost-tail'): boolean {
    const replicas = [...this.#cluster.replicas.values()].filter((replica) => replica.disk.isSound);
    const victim = this.#random.pick(replicas);
    if (victim === undefined || !this.#fleet.canLose(victim.id)) return false;
    this.#cluster.trace(`${fault} ${victim.id}`);
    if (fault === 'disk-loss') {
      this.#cluster.retire(victim);
      return true;
    }
    victim.crash();
    const happened = fault === 'bit-flip' ? victim.disk.flipBit() : victim.disk.loseTail();
    this.#later(() => victim.start());
    return happened;
  }

  /** The first time it makes the copies, later it puts one back. The replica starts, and its peers have to refuse it. */
  #rollBack(): boolean {
    const sound = [...this.#cluster.replicas.values()].filter((replica) => replica.disk.isSound);
    for (const { disk } of sound) {
      // One that is a quorum by itself would serve before anybody could refuse it.
      if (disk.configurations().every(({ voters }) => voters.length > 1)) disk.copy();
    }
    const victims = sound.filter(({ id }) => this.#fleet.wouldNotice(id) && this.#fleet.canLose(id));
    const victim = this.#random.pick(victims);
    if (victim === undefined) return false;
    victim.crash();
    if (!victim.disk.rollBack()) return false;
    this.#cluster.trace(`rollback ${victim.id}`);
    this.#cluster.checker.rolledBack(victim.id);
    this.#later(() => {
      // Whoever has become a voter meanwhile knows nothing of it.
      if (this.#fleet.wouldNotice(victim.id)) victim.start();
      else this.#cluster.retire(victim);
    });
    return true;
  }
}
