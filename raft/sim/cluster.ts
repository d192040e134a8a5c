/**
 * A whole cluster in one process and one thread: replicas, their disks, the network between them, virtual time and the
 * checker. Knows how things are connected and nothing of what should happen to them (nemesis.ts) or for how long
 * (run.ts). Every event is a line of the trace; the hash over all lines names the run.
 */
import { createHash } from 'node:crypto';
import type { ReadOutcome } from '../core/effects.ts';
import type { Message } from '../core/messages.ts';
import type { RaftOptions } from '../core/options.ts';
import {
  type Entry,
  type HardState,
  type ReplicaId,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../core/types.ts';
import type { StateMachine } from '../runtime/state-machine.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { Checker } from './checker.ts';
import { type DiskParameters, SimulatedDisk } from './disk.ts';
import { check } from './facts.ts';
import { type NetworkParameters, SimulatedNetwork } from './network.ts';
import type { Random } from './random.ts';
import { type Origin, type SimulatedProcess, SimulatedReplica, type Tampering } from './replica.ts';
import { Sessions } from './sessions.ts';
import { Timeline } from './timeline.ts';
import { describeMessage } from './trace.ts';

export interface ClusterParameters {
  readonly voters: number;
  /** Beside them, with nothing on their disks. */
  readonly learners: number;
  readonly options: RaftOptions;
  readonly network: NetworkParameters;
  readonly disk: DiskParameters;
  readonly snapshotEntries: number;
  readonly snapshotPieceMsMax: number;
  readonly drainsLate: boolean;
}

/** Characters: a call of the hash for every line would cost more than the hashing. */
const HASHED_AT_ONCE = 16_384;

export interface ClusterHooks {
  readonly machine: (process: SimulatedProcess) => StateMachine<unknown>;
  readonly tampering: Tampering;
  readonly onTrace: (line: string) => void;
}

export class SimulatedCluster {
  readonly timeline: Timeline = new Timeline();
  readonly checker: Checker = new Checker();
  readonly network: SimulatedNetwork<Origin>;
  readonly replicas: Map<ReplicaId, SimulatedReplica> = new Map();
  /** What became of a read; when it is confirmed, the state machine holds everything that it must show. */
  onRead: (id: ReplicaId, outcome: ReadOutcome) => void = () => {};
  /** Who belongs to it, where that is decided outside of Raft: a host whose disk was lost comes back under a new id. */
  readonly members: Set<ReplicaId> = new Set();
  readonly #sessions = new Sessions((replica) => this.#rolledBack(replica));
  readonly #parameters: ClusterParameters;
  readonly #hooks: ClusterHooks;
  readonly #random: Random;
  readonly #hash = createHash('sha256');
  #unhashed = '';

  constructor(parameters: ClusterParameters, hooks: ClusterHooks, random: Random) {
    this.#parameters = parameters;
    this.#hooks = hooks;
    this.#random = random;
    this.network = new SimulatedNetwork({
      timeline: this.timeline,
      random: random.fork(),
      parameters: parameters.network,
      deliver: (message, origin) => this.#deliver(message, origin),
    });
    this.#bootstrap();
  }

  /** All steps that any core took. */
  get steps(): number {
    return [...this.replicas.values()].reduce((sum, replica) => sum + replica.steps, 0);
  }

  get up(): SimulatedReplica[] {
    return [...this.replicas.values()].filter((replica) => replica.isUp);
  }

  /** The replica that leads in the highest term, as far as one of those that are up does. */
  get leader(): SimulatedReplica | null {
    let leader: SimulatedReplica | null = null;
    for (const replica of this.up) {
      if (replica.status?.role !== 'leader') continue;
      if (leader?.status == null || replica.status.term > leader.status.term) leader = replica;
    }
    return leader;
  }

  /** Starts a replica with an empty disk and an id that nobody had before. */
  addFresh(): SimulatedReplica {
    const replica = this.#add(toReplicaId(this.replicas.size + 1), EMPTY, []);
    replica.start();
    return replica;
  }

  /** Its disk is gone or cannot be believed: the host comes back as a new replica, which nobody knows yet. */
  retire(replica: SimulatedReplica): void {
    if (replica.disk.lost) return;
    this.trace(`retire ${replica.id}`);
    replica.crash();
    replica.disk.lose();
    const fresh = this.addFresh();
    if (this.members.delete(replica.id)) this.members.add(fresh.id);
  }

  /** What its peers say: it stops for good. */
  #rolledBack(replica: SimulatedReplica): void {
    check(replica.disk.isRolledBack, 'a peer that lost nothing is believed', () => {
      return `replica ${replica.id} is refused, but its disk was never put back`;
    });
    this.timeline.after(0, () => this.retire(replica));
  }

  trace(line: string): void {
    const stamped = `${this.timeline.now} ${line}`;
    this.#unhashed += `${stamped}\n`;
    if (this.#unhashed.length >= HASHED_AT_ONCE) this.#hashTrace();
    this.#hooks.onTrace(stamped);
  }

  #hashTrace(): void {
    this.#hash.update(this.#unhashed);
    this.#unhashed = '';
  }

  /** Ends the trace. */
  traceHash(): string {
    this.#hashTrace();
    return this.#hash.digest('hex');
  }

  /** The first voters all start from one committed entry that names them; learners hear of it. */
  #bootstrap(): void {
    const term = toTerm(1);
    const index = toLogIndex(1);
    const ids = Array.from({ length: this.#parameters.voters + this.#parameters.learners }, (_, i) => {
      return toReplicaId(i + 1);
    });
    const voters = ids.slice(0, this.#parameters.voters);
    const learners = ids.slice(this.#parameters.voters);
    const genesis: Entry[] = [
      { kind: 'configuration', term, index, configuration: { voters, outgoing: [], learners } },
    ];
    this.checker.genesis(genesis);
    for (const id of voters) this.#add(id, { term, vote: null, commit: index }, genesis);
    for (const id of learners) this.#add(id, EMPTY, []);
    for (const id of ids) this.members.add(id);
    for (const replica of this.replicas.values()) replica.start();
  }

  #add(id: ReplicaId, hardState: HardState, entries: readonly Entry[]): SimulatedReplica {
    const storage = new MemoryStorage({ hardState, snapshot: null, entries });
    this.checker.addDisk(id, storage);
    const disk = new SimulatedDisk(id, storage, {
      timeline: this.timeline,
      random: this.#random.fork(),
      parameters: this.#parameters.disk,
      durable: (batches) => this.checker.durable(id, batches),
    });
    const replica = new SimulatedReplica({
      id,
      disk,
      options: this.#parameters.options,
      machine: this.#hooks.machine,
      snapshotEntries: this.#parameters.snapshotEntries,
      snapshotPieceMsMax: this.#parameters.snapshotPieceMsMax,
      drainsLate: this.#parameters.drainsLate,
      timeline: this.timeline,
      random: this.#random.fork(),
      checker: this.checker,
      tampering: this.#hooks.tampering,
      send: (message, origin) => this.network.send(message, origin),
      onRead: (outcome) => this.onRead(id, outcome),
      damaged: () => this.retire(replica),
      trace: (line) => this.trace(line),
    });
    this.replicas.set(id, replica);
    return replica;
  }

  #deliver(message: Message, origin: Origin): void {
    const from = this.replicas.get(message.from);
    const to = this.replicas.get(message.to);
    if (from === undefined || to === undefined) return;
    if (this.#parameters.disk.hasDatabase && !this.#sessions.connect(from, origin.life, to)) return;
    this.trace(describeMessage(message));
    to.deliver(message, origin);
  }
}

const EMPTY: HardState = { term: toTerm(0), vote: null, commit: toLogIndex(0) };
