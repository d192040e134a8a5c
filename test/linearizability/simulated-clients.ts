/**
 * Clients of a simulated cluster, and the history of what they saw. They ask whoever believes to be the leader, wait for
 * what a real program would wait for, and give up after a while without knowing.
 */
import type { ReadOutcome } from '../../raft/core/effects.ts';
import { assert, type CommandEntry, type EntryId, type ReplicaId } from '../../raft/core/types.ts';
import type { SimulatedCluster } from '../../raft/sim/cluster.ts';
import type { KeyValueOp, KeyValueResult } from '../../raft/sim/key-value-model.ts';
import type { Operation } from '../../raft/sim/linearize.ts';
import type { Random } from '../../raft/sim/random.ts';
import type { SimulatedReplica } from '../../raft/sim/replica.ts';
import { encodeOp, KeyValueMachine } from './key-value-machine.ts';

export type Reading =
  | 'read-index'
  /** The deliberate mistake: a leader answers from what it holds, without asking whether it still leads. */
  | 'local';

/** New keys now and then: the shorter the history of a key, the faster it is checked. */
const ERA_MS = 1_000;
const KEYS_PER_ERA = 3;
const PAUSE_MS_MAX = 20;
const ANSWER_MS_MAX = 3_000;

type Called = {
  -readonly [Property in keyof Operation<KeyValueOp, KeyValueResult>]: Operation<
    KeyValueOp,
    KeyValueResult
  >[Property];
};

/** A read that nobody has to confirm. */
const LOCAL = { kind: 'pending', id: -1 } as const;

/** One life of a replica: as the runtime does, it tells who waits for a command what became of it. */
export class ServingMachine extends KeyValueMachine {
  readonly #commands = new Map<
    number,
    { readonly id: EntryId; readonly done: (result: KeyValueResult) => void }
  >();
  readonly #reads = new Map<number, () => void>();

  override apply(entry: CommandEntry): KeyValueResult {
    const result = super.apply(entry);
    const waiting = this.#commands.get(entry.index);
    this.#commands.delete(entry.index);
    if (waiting?.id.term === entry.term) waiting.done(result);
    return result;
  }

  awaitCommand(id: EntryId, done: (result: KeyValueResult) => void): void {
    this.#commands.set(id.index, { id, done });
  }

  awaitRead(id: number, confirmed: () => void): void {
    this.#reads.set(id, confirmed);
  }

  settleRead({ id, kind }: ReadOutcome): void {
    if (kind === 'confirmed') this.#reads.get(id)?.();
    this.#reads.delete(id);
  }
}

export class SimulatedClients {
  /** Of operations that are under way nobody knows yet. */
  readonly history: Called[] = [];
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  readonly #reading: Reading;
  /** Of a read that is confirmed before it is known which one it is: by the only voter there is. */
  #confirmedAtOnce: number | null = null;
  /** Every value is written once: whoever reads it knows which write it was. */
  #values = 0;
  #untilMs = 0;
  #lastMs = 0;
  #order = 0;

  constructor(cluster: SimulatedCluster, random: Random, reading: Reading) {
    this.#cluster = cluster;
    this.#random = random;
    this.#reading = reading;
    cluster.onRead = (id, outcome) => this.#settleRead(id, outcome);
  }

  /** Until a time of the simulation. */
  start(clients: number, untilMs: number): void {
    this.#untilMs = untilMs;
    for (let n = 0; n < clients; n++) this.#pause(`c${n}`);
  }

  /** What one replica holds in the end, when all hold the same. */
  readAll(machine: KeyValueMachine): void {
    for (const key of new Set(this.history.map(({ op }) => op.key))) {
      const calledAt = this.#now();
      this.history.push({
        client: 'reader',
        op: { kind: 'get', key },
        calledAt,
        returned: { at: this.#now(), result: machine.get(key) },
      });
    }
  }

  #pause(client: string): void {
    this.#cluster.timeline.after(this.#random.integer(1, PAUSE_MS_MAX), () => this.#next(client));
  }

  #next(client: string): void {
    if (this.#cluster.timeline.now >= this.#untilMs) return;
    const leader = this.#random.pick(this.#cluster.up.filter((replica) => replica.leads));
    const machine = leader?.machine;
    if (leader === undefined || !(machine instanceof ServingMachine)) {
      this.#pause(client);
      return;
    }
    const op = this.#draw(client, machine);
    if (op.kind === 'get') this.#get(client, op, leader, machine);
    else this.#write(client, op, leader, machine);
  }

  #write(client: string, op: KeyValueOp, leader: SimulatedReplica, machine: ServingMachine): void {
    const calledAt = this.#now();
    const outcome = leader.propose(encodeOp(op));
    if (outcome !== null && outcome.kind !== 'appended') {
      this.#pause(client);
      return;
    }
    const done = this.#record({ client, op, calledAt, returned: null });
    // A stopped process takes it when it goes on.
    if (outcome !== null) machine.awaitCommand(outcome.id, done);
  }

  #get(client: string, op: KeyValueOp, leader: SimulatedReplica, machine: ServingMachine): void {
    const calledAt = this.#now();
    this.#confirmedAtOnce = null;
    const outcome = this.#reading === 'local' && !leader.isPaused ? LOCAL : leader.readIndex();
    if (outcome?.kind !== 'pending') {
      this.#pause(client);
      return;
    }
    const done = this.#record({ client, op, calledAt, returned: null });
    const isConfirmed = outcome === LOCAL || this.#confirmedAtOnce === outcome.id;
    if (isConfirmed) done(machine.get(op.key));
    else machine.awaitRead(outcome.id, () => done(machine.get(op.key)));
  }

  #settleRead(id: ReplicaId, outcome: ReadOutcome): void {
    const replica = this.#cluster.replicas.get(id);
    const machine = replica?.machine;
    if (!(machine instanceof ServingMachine)) return;
    if (outcome.kind === 'confirmed') {
      const applied = replica?.status?.applied ?? 0;
      assert(applied >= outcome.index, `read at ${outcome.index} is confirmed where ${applied} is applied`);
      this.#confirmedAtOnce = outcome.id;
    }
    machine.settleRead(outcome);
  }

  /** Returns what is to be called when it is done. The client does not wait for that for ever, but it counts if it comes. */
  #record(operation: Called): (result: KeyValueResult) => void {
    this.history.push(operation);
    let isWaiting = true;
    const goOn = (): void => {
      if (isWaiting) this.#pause(operation.client);
      isWaiting = false;
    };
    this.#cluster.timeline.after(ANSWER_MS_MAX, goOn);
    return (result) => {
      operation.returned = { at: this.#now(), result };
      goOn();
    };
  }

  /** Milliseconds of the simulation; what happens in the same one, in the order in which it happens. */
  #now(): number {
    const { now } = this.#cluster.timeline;
    this.#order = now === this.#lastMs ? this.#order + 1 : 0;
    this.#lastMs = now;
    return now + this.#order / 1e4;
  }

  #draw(client: string, machine: KeyValueMachine): KeyValueOp {
    const era = Math.floor(this.#cluster.timeline.now / ERA_MS);
    const key = `${era}/${this.#random.integer(1, KEYS_PER_ERA)}`;
    const chance = this.#random.next();
    if (chance < 0.4) return { kind: 'get', key };
    if (chance < 0.65) return { kind: 'put', key, value: ++this.#values };
    if (chance < 0.85) return { kind: 'cas', key, expected: machine.get(key), value: ++this.#values };
    return { kind: 'add', key: `count/${client}` };
  }
}
