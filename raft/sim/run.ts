/**
 * One seed, from its first event to its verdict. Two phases: first faults strike while clients write and every rule is
 * checked at every step; then everything is healed, and the cluster must come back by itself: one leader within five
 * election timeouts, no membership change left half done, another leader when this one reaches one voter only, a new
 * write committed and applied by every member, the write shown by a read, all logs and states equal.
 *
 * The state machine is the caller's choice: it is run on every replica and its snapshots are compared byte for byte.
 */

import { type EntryId, InvariantError, type ReplicaId } from '../core/types.ts';
import type { StateMachine } from '../runtime/state-machine.ts';
import { SimulatedCluster } from './cluster.ts';
import { check, ViolationError } from './facts.ts';
import { Nemesis } from './nemesis.ts';
import { Random } from './random.ts';
import { RegisterMachine } from './register-machine.ts';
import type { SimulatedProcess, SimulatedReplica, Tampering } from './replica.ts';
import { drawSwarm, type SwarmParameters } from './swarm.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Length of the first phase, in ticks of TICK_MS. */
  readonly ticks: number;
  /** Called at each start of a replica. */
  readonly machine?: (process: SimulatedProcess) => StateMachine<unknown>;
  /** A command; `count` is how many were made before, `machine` that of the replica it is for. */
  readonly command?: (random: Random, count: number, machine: StateMachine<unknown>) => Uint8Array;
  /** Called once, before the first event, with what it may draw from: clients of one's own, say. */
  readonly actors?: (cluster: SimulatedCluster, random: Random) => void;
  readonly onTrace?: (line: string) => void;
  /** For checking the checker. */
  readonly tampering?: Tampering;
  /** Replaces what the seed would draw. */
  readonly swarm?: Partial<SwarmParameters>;
}

export interface Violation {
  readonly rule: string;
  readonly message: string;
  /** Milliseconds since the start of the run. */
  readonly time: number;
}

export interface SimulationResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly steps: number;
  readonly committed: number;
  readonly virtualMs: number;
  /** How often each kind of fault happened. */
  readonly faults: Readonly<Record<string, number>>;
  readonly violation: Violation | null;
}

export const TICK_MS = 10;
/** Entries that are not committed. Clients that went on regardless could fill a slow cluster for longer than it has to recover. */
const BACKLOG_MAX = 200;
const CONVERGENCE_MS = 60_000;
const STEPS_A_TICK_MAX = 50;

export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #swarm: SwarmParameters;
  readonly #cluster: SimulatedCluster;
  readonly #nemesis: Nemesis;
  readonly #client: Random;
  #proposals = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = new Random(options.seed);
    this.#swarm = { ...drawSwarm(random.fork()), ...options.swarm };
    const hooks = {
      machine: options.machine ?? (() => new RegisterMachine()),
      tampering: options.tampering ?? {},
      onTrace: options.onTrace ?? (() => {}),
    };
    this.#cluster = new SimulatedCluster(this.#swarm.cluster, hooks, random.fork());
    this.#nemesis = new Nemesis(this.#cluster, this.#swarm, random.fork());
    this.#client = random.fork();
    options.actors?.(this.#cluster, random.fork());
  }

  run(): SimulationResult {
    const violation = this.#violation();
    const { network, timeline, checker } = this.#cluster;
    return {
      seed: this.#options.seed,
      traceHash: this.#cluster.traceHash(),
      steps: this.#cluster.steps,
      committed: checker.facts.lastCommitted.index,
      virtualMs: timeline.now,
      faults: Object.fromEntries([...network.counts, ...this.#nemesis.counts]),
      violation,
    };
  }

  #violation(): Violation | null {
    try {
      this.#safetyPhase();
      this.#livenessPhase();
      return null;
    } catch (error) {
      const time = this.#cluster.timeline.now;
      if (error instanceof ViolationError) return { rule: error.rule, message: error.message, time };
      if (error instanceof InvariantError)
        return { rule: 'assertion', message: error.stack ?? error.message, time };
      throw error;
    }
  }

  #safetyPhase(): void {
    this.#nemesis.start();
    this.#writeForever();
    this.#readForever();
    this.#cluster.timeline.runUntil(this.#options.ticks * TICK_MS);
  }

  #writeForever(): void {
    this.#cluster.timeline.after(this.#client.integer(1, this.#swarm.proposeEveryMsMax), () => {
      if (this.#isQuiet) return;
      const leaders = this.#cluster.up.filter((replica) => replica.leads);
      const target = this.#client.pick(leaders);
      if (target !== undefined && target.backlog < BACKLOG_MAX) this.#propose(target);
      this.#writeForever();
    });
  }

  /** Clients have said enough: the phase is over, or the run has cost as much as ten others. */
  get #isQuiet(): boolean {
    const { timeline, steps } = this.#cluster;
    return timeline.now >= this.#options.ticks * TICK_MS || steps > this.#options.ticks * STEPS_A_TICK_MAX;
  }

  #readForever(): void {
    this.#cluster.timeline.after(this.#client.integer(1, this.#swarm.readEveryMsMax), () => {
      if (this.#isQuiet) return;
      this.#client.pick(this.#cluster.up.filter((replica) => replica.leads))?.readIndex();
      this.#readForever();
    });
  }

  /** Where the command stands, or null when it was refused. */
  #propose(target: SimulatedReplica): EntryId | null {
    const { machine } = target;
    if (machine === null) return null;
    const command = this.#options.command ?? RegisterMachine.command;
    const result = target.propose(command(this.#client, this.#proposals++, machine));
    if (result?.kind !== 'appended') return null;
    this.#cluster.trace(`propose ${target.id} ${result.id.index}@${result.id.term}`);
    return result.id;
  }

  #livenessPhase(): void {
    this.#nemesis.heal();
    const electionMs = 5 * this.#swarm.cluster.options.electionTimeoutMsMax;
    this.#within(electionMs, 'one leader within five election timeouts', () => this.#ruler() !== null);
    this.#within(CONVERGENCE_MS, 'a membership change comes to its end', () => {
      const ruler = this.#ruler();
      return ruler?.status?.configuration.outgoing.length === 0 && this.#nemesis.isSettled(ruler);
    });
    this.#bridgePhase(electionMs);
    let written: EntryId | null = null;
    this.#within(CONVERGENCE_MS, 'a new write commits and reaches everybody', () => {
      const ruler = this.#ruler();
      if (ruler === null) return false;
      // The leader may still have had its own removal to commit: what it took last may be lost with it.
      if (written?.term !== ruler.status?.term) written = this.#propose(ruler);
      return written !== null && this.#isEverywhere(ruler, written.index);
    });
    this.#within(CONVERGENCE_MS, 'a read shows the new write', () => {
      this.#ruler()?.readIndex();
      return written !== null && this.#cluster.checker.facts.lastRead >= written.index;
    });
    // Another membership change may just have begun.
    this.#within(CONVERGENCE_MS, 'logs are equal in the end', () => {
      const ruler = this.#ruler();
      return ruler?.status != null && this.#isEverywhere(ruler, ruler.status.last.index);
    });
    const ruler = this.#ruler();
    check(ruler !== null, 'a leader stays', () => 'the leader went away without a fault');
    this.#compareStates(ruler);
  }

  /**
   * The leader reaches one voter only, and all the others reach each other. They can elect when that one hears the leader
   * no more: it must fall silent, or there is none for ever (the Cloudflare outage of November 2020, openraft#2080).
   */
  #bridgePhase(electionMs: number): void {
    const old = this.#ruler();
    const status = old?.status;
    // Before the configuration is committed the old leader may be needed for any majority.
    if (!old || !status || status.configurationIndex > status.commit) return;
    const { voters, outgoing } = status.configuration;
    const areWell = voters.every((id) => {
      const replica = this.#cluster.replicas.get(id);
      return replica?.isUp && !replica.disk.isRolledBack;
    });
    if (outgoing.length > 0 || voters.length < 4 || !areWell || !voters.includes(old.id)) return;
    const bridge = voters.find((id) => id !== old.id);
    const isCut = (from: ReplicaId, to: ReplicaId): boolean =>
      (from === old.id || to === old.id) && from !== bridge && to !== bridge;
    this.#cluster.trace(`bridge ${bridge} to leader ${old.id}`);
    this.#cluster.network.cut(isCut);
    // What the old leader sent before the faults ended may reach the bridge as late as this, each a sign of life.
    const { slowMsMax } = this.#swarm.cluster.network;
    this.#within(slowMsMax + electionMs, 'a majority elects although one of it hears the old leader', () => {
      // It need not have committed anything yet: a voter may still have everything to receive.
      const { leader } = this.#cluster;
      return leader !== null && leader !== old;
    });
    this.#cluster.network.heal(isCut);
    this.#within(electionMs, 'one leader within five election timeouts', () => this.#ruler() !== null);
  }

  #within(ms: number, rule: string, condition: () => boolean): void {
    const { timeline } = this.#cluster;
    const deadline = timeline.now + ms;
    while (timeline.now < deadline) {
      if (condition()) return;
      timeline.runUntil(timeline.now + TICK_MS);
    }
    check(condition(), rule, () => this.#cluster.up.map(describe).join('; '));
  }

  /** The one leader, once no reachable voter of its own configuration is in another term or follows another. */
  #ruler(): SimulatedReplica | null {
    const leader = this.#cluster.leader;
    const status = leader?.status;
    if (!leader || !status) return null;
    const { voters, outgoing } = status.configuration;
    const followers = this.#cluster.up.filter(({ id }) => voters.includes(id) || outgoing.includes(id));
    const agreed = followers.every((replica) => {
      return replica.status?.leader === leader.id && replica.status.term === status.term;
    });
    return agreed ? leader : null;
  }

  #isEverywhere(ruler: SimulatedReplica, index: number): boolean {
    return this.#members(ruler).every((replica) => {
      // Its peers will find it out.
      if (!replica.isBelieved) return false;
      const { last, applied } = this.#cluster.checker.logOf(replica.id);
      return applied.index >= index && applied.index === last.index;
    });
  }

  #compareStates(ruler: SimulatedReplica): void {
    const logs = this.#cluster.checker;
    const expected = logs.logOf(ruler.id).last;
    const state = ruler.stateBytes();
    for (const replica of this.#members(ruler)) {
      const { last } = logs.logOf(replica.id);
      check(last.hash === expected.hash && last.index === expected.index, 'logs are equal in the end', () => {
        return `replica ${replica.id} ends at ${last.index}, leader ${ruler.id} at ${expected.index}`;
      });
      const bytes = replica.stateBytes();
      const equal = state !== null && bytes !== null && Buffer.compare(bytes, state) === 0;
      check(equal, 'equal state', () => `replicas ${replica.id} and ${ruler.id} end in different states`);
    }
  }

  #members(ruler: SimulatedReplica): SimulatedReplica[] {
    const { voters, learners } = this.#cluster.checker.logOf(ruler.id).configuration;
    return this.#cluster.up.filter(({ id }) => voters.includes(id) || learners.includes(id));
  }
}

function describe({ id, status }: SimulatedReplica): string {
  const { role, term, leader, commit, last } = status ?? {};
  return `${id} ${role} t${term} leader ${leader} commit ${commit} last ${last?.index}`;
}
