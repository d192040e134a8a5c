/**
 * Real replicas with a network, disks and a clock that do nothing by themselves: a message stays under way until it is
 * delivered or dropped, a timer runs out when it is told to, and a disk that is held completes one write at a time. What
 * every step did goes to the trace. After each, the invariants of the replica are asserted, and that no two replicas
 * apply different entries at one index.
 */
import { type Effects, needsWrite, type Persist } from '../../raft/core/effects.ts';
import type { Message } from '../../raft/core/messages.ts';
import { type RaftOptions, raftOptions } from '../../raft/core/options.ts';
import { RaftCore } from '../../raft/core/raft.ts';
import type { Entry, HardState, ReplicaId, Snapshot } from '../../raft/core/types.ts';
import { sha256 } from '../../raft/runtime/snapshotter.ts';
import {
  showEntries,
  showEntry,
  showHardState,
  showMessage,
  showSnapshotMeta,
  textOf,
  utf8,
} from './notation.ts';

/** What survives a crash. */
export interface Disk {
  hardState: HardState;
  snapshot: Snapshot | null;
  entries: readonly Entry[];
}

export interface Replica {
  readonly id: ReplicaId;
  readonly disk: Disk;
  /** Null while it is down. */
  core: RaftCore | null;
  /** Null: every write completes at once. */
  held: Persist[] | null;
  /** What its state machine has been given. */
  applied: string[];
}

export class World {
  readonly replicas: Map<ReplicaId, Replica> = new Map();
  readonly options: RaftOptions;
  /** Under way, in the order of sending. */
  inFlight: Message[] = [];
  now = 0;
  readonly #cut = new Set<string>();
  readonly #appliedAnywhere = new Map<number, string>();
  #trace: string[] = [];

  constructor(options: Partial<RaftOptions> = {}) {
    this.options = raftOptions(options);
  }

  say(line: string): void {
    this.#trace.push(line);
  }

  /** What was said since the last call. */
  takeTrace(): string[] {
    return this.#trace.splice(0);
  }

  replica(id: ReplicaId): Replica {
    const replica = this.replicas.get(id);
    if (replica === undefined) throw new Error(`there is no replica ${id}`);
    return replica;
  }

  /** A replica that is up. */
  core(id: ReplicaId): RaftCore {
    const { core } = this.replica(id);
    if (core === null) throw new Error(`replica ${id} is down`);
    return core;
  }

  add(id: ReplicaId, disk: Disk): void {
    this.replicas.set(id, { id, disk, core: null, held: null, applied: [] });
    this.#start(id, this.now);
  }

  /** From what is on its disk. As in the runtime, it gives its peers the time to speak before it votes. */
  restart(id: ReplicaId): void {
    this.#start(id, this.now + this.options.electionTimeoutMsMin);
  }

  #start(id: ReplicaId, votesFrom: number): void {
    const replica = this.replica(id);
    if (replica.core !== null) throw new Error(`replica ${id} is up`);
    replica.applied = [];
    replica.core = new RaftCore({
      id,
      options: this.options,
      ...replica.disk,
      // All timeouts are in the middle of their range; who runs out first is for the scenario to say.
      random: () => 0.5,
      digest: sha256,
      now: this.now,
      votesFrom,
    });
    this.#drain(replica, replica.core);
  }

  /** What the disk has not completed is gone. */
  crash(id: ReplicaId): void {
    const replica = this.replica(id);
    replica.core = null;
    if (replica.held !== null) replica.held = [];
  }

  /** One input of a replica that is up, and what comes of it. */
  step<T>(id: ReplicaId, input: (core: RaftCore) => T): T {
    const core = this.core(id);
    const result = input(core);
    this.#drain(this.replica(id), core);
    return result;
  }

  /** Takes messages from what is under way. */
  take(messages: readonly Message[]): readonly Message[] {
    this.inFlight = this.inFlight.filter((message) => !messages.includes(message));
    return messages;
  }

  deliver(message: Message): void {
    this.say(`${message.from}>${message.to} ${showMessage(message)}`);
    const { core } = this.replica(message.to);
    if (core === null) this.say(`  ${message.to} is down`);
    else this.step(message.to, () => core.step(message, this.now));
  }

  /** Moves the clock to where the replica's next timer runs out. False when it waits for none before `until`. */
  tick(id: ReplicaId, until: number = Number.POSITIVE_INFINITY): boolean {
    const deadline = this.core(id).deadline();
    if (deadline > until || deadline === Number.POSITIVE_INFINITY) return false;
    this.now = Math.max(this.now, deadline);
    this.say(`${id} ticks at ${this.now}`);
    this.step(id, (core) => core.tick(this.now));
    return true;
  }

  hold(id: ReplicaId): void {
    this.replica(id).held ??= [];
  }

  /** Completes the oldest write of a disk that is held. */
  write(id: ReplicaId): void {
    const replica = this.replica(id);
    const persist = replica.held?.shift();
    if (persist === undefined || replica.core === null) throw new Error(`replica ${id} has nothing to write`);
    this.say(`${id} has written ${showPersist(persist)}`);
    this.#complete(replica, replica.core, persist);
    this.#drain(replica, replica.core);
  }

  /** Completes what is held, and from then on every write at once. */
  unhold(id: ReplicaId): void {
    while ((this.replica(id).held?.length ?? 0) > 0) this.write(id);
    this.replica(id).held = null;
  }

  /** What is sent from `from` to `to` is lost from now on. */
  cut(from: ReplicaId, to: ReplicaId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  #drain(replica: Replica, core: RaftCore): void {
    for (let quiet = false; !quiet; ) {
      core.assertInvariants();
      const effects = core.takeEffects();
      core.assertInvariants();
      quiet = this.#carryOut(replica, core, effects);
    }
  }

  /** False when that was an input of its own. */
  #carryOut(replica: Replica, core: RaftCore, effects: Effects): boolean {
    const { transition, persist, restore, apply, reads } = effects;
    if (transition !== null) {
      const { role, term, leader } = transition;
      const under = leader === null || leader === replica.id ? '' : ` under ${leader}`;
      this.say(`  ${replica.id} is ${role} of t${term}${under}`);
    }
    this.#send(effects.send);
    if (restore !== null) {
      this.say(`  ${replica.id} restores ${showSnapshotMeta(restore.meta)}`);
      replica.applied = textOf(restore.data).split('\n');
    }
    for (const entry of apply) this.#apply(replica, entry);
    const last = apply.at(-1);
    if (last !== undefined) core.applied(last.index);
    for (const read of reads) {
      const outcome = read.kind === 'confirmed' ? `is confirmed at ${read.index}` : 'is lost';
      this.say(`  ${replica.id} read ${read.id} ${outcome}`);
    }
    const quiet = last === undefined;
    if (persist === null) return quiet;
    if (replica.held !== null) {
      const { thenSend } = persist;
      this.say(`  ${replica.id} is to write ${showPersist(persist)}, then to send ${thenSend.length}`);
      replica.held.push(persist);
      return quiet;
    }
    const onlyOrders = !needsWrite(persist, replica.disk.hardState);
    if (!onlyOrders) this.say(`  ${replica.id} writes ${showPersist(persist)}`);
    this.#complete(replica, core, persist);
    return false;
  }

  #apply(replica: Replica, entry: Entry): void {
    const shown = showEntry(entry);
    const known = this.#appliedAnywhere.get(entry.index) ?? shown;
    if (known !== shown) throw new Error(`replica ${replica.id} applies ${shown}, another one ${known}`);
    this.#appliedAnywhere.set(entry.index, shown);
    replica.applied.push(shown);
    this.say(`  ${replica.id} applies ${shown}`);
  }

  #complete({ disk }: Replica, core: RaftCore, persist: Persist): void {
    const { hardState, truncateFrom, entries, snapshot, compactTo, thenSend, seq } = persist;
    disk.hardState = hardState;
    const kept = disk.entries.filter(
      ({ index }) => index < (truncateFrom ?? Number.POSITIVE_INFINITY) && index > (compactTo ?? 0),
    );
    disk.entries = [...kept, ...entries];
    if (snapshot !== null) disk.snapshot = snapshot;
    this.#send(thenSend);
    core.persisted(seq, this.now);
  }

  /** Equal messages to several replicas are one line. */
  #send(messages: readonly Message[]): void {
    const lines = new Map<string, ReplicaId[]>();
    for (const message of messages) {
      const lost = this.#cut.has(`${message.from}>${message.to}`);
      const line = `${showMessage(message)}${lost ? ' (lost)' : ''}`;
      lines.set(line, [...(lines.get(line) ?? []), message.to]);
      if (!lost) this.inFlight.push(message);
    }
    for (const [line, to] of lines) this.say(`  to ${to.join(' ')}: ${line}`);
  }
}

/** A snapshot of what the replica has applied. */
export function snapshotOf({ applied }: Replica, core: RaftCore): Snapshot {
  const data = utf8(applied.join('\n'));
  return { meta: core.snapshotMeta(), data, digest: sha256(data) };
}

function showPersist({ hardState, truncateFrom, entries, snapshot, compactTo }: Persist): string {
  return [
    showHardState(hardState),
    ...(truncateFrom === null ? [] : [`without ${truncateFrom} and after`]),
    ...(snapshot === null ? [] : [`snapshot ${showSnapshotMeta(snapshot.meta)}`]),
    ...(compactTo === null ? [] : [`compacted to ${compactTo}`]),
    ...(entries.length === 0 ? [] : [showEntries(entries)]),
  ].join(', ');
}
