/**
 * One simulated process: the real core with a disk, a state machine and a clock of its own, doing what the runtime does
 * with effects. It can crash at any moment, be paused like a stopped process whose socket buffer fills meanwhile, and lose
 * its disk for good. Reports every step to the checker before anything of it leaves.
 */
import type { Effects, Persist, ReadOutcome } from '../core/effects.ts';
import type { Message } from '../core/messages.ts';
import type { RaftOptions } from '../core/options.ts';
import {
  type ChangeResult,
  type Membership,
  type ProposeResult,
  RaftCore,
  type RaftStatus,
  type RaftSummary,
  type ReadResult,
  type TransferResult,
} from '../core/raft.ts';
import type { ReplicaId, Snapshot, SnapshotMeta } from '../core/types.ts';
import { sha256 } from '../runtime/snapshotter.ts';
import type { StateMachine } from '../runtime/state-machine.ts';
import type { Position, Recovered } from '../storage/storage.ts';
import { Witness } from '../transport/witness.ts';
import type { Checker } from './checker.ts';
import type { CrashEffect, SimulatedDisk } from './disk.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

/** What a socket buffer holds of a process that does not read. */
const INBOX_MESSAGES_MAX = 500;

const YEAR_MS = 365 * 24 * 3_600_000;

const INVARIANT_STEPS = 40;

/** A faulty core may send what a correct one cannot. */
export type TamperedEffects = Omit<Effects, 'send'> & { readonly send: readonly Message[] };

/** Deliberate faults, for checking the checker: each may replace what passes through it. */
export interface Tampering {
  readonly recovered?: (id: ReplicaId, recovered: Recovered) => Recovered;
  readonly effects?: (effects: Effects, status: RaftStatus) => TamperedEffects;
  readonly received?: (message: Message) => readonly Message[];
}

/** What a state machine may know of the process that it runs in. */
export interface SimulatedProcess {
  /** Starts anywhere with each start of the process, and runs slightly too fast or too slow. */
  monotonicMs(): number;
  /** Of the machine: jumps where the seed says so. */
  wallMs(): number;
  /** True time, from 0 at the start of the run: for checks. No process can know it. */
  simulatedMs(): number;
}

/** Where a message comes from. */
export interface Origin {
  readonly life: number;
  /** What was durable when it left. */
  readonly position: Position;
}

export interface ReplicaParts {
  readonly id: ReplicaId;
  readonly disk: SimulatedDisk;
  readonly options: RaftOptions;
  readonly machine: (process: SimulatedProcess) => StateMachine<unknown>;
  /** A snapshot is taken after this many applied entries. */
  readonly snapshotEntries: number;
  /** The most that passes between two pieces of a snapshot. */
  readonly snapshotPieceMsMax: number;
  /** Effects wait until everything else that happens at the same moment has happened, as in an event loop. */
  readonly drainsLate: boolean;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly checker: Checker;
  readonly tampering: Tampering;
  /** `life` counts the starts of this replica. */
  readonly send: (message: Message, origin: Origin) => void;
  readonly onRead: (outcome: ReadOutcome) => void;
  /** It cannot start from its disk, now or ever. */
  readonly damaged: () => void;
  readonly trace: (line: string) => void;
}

/** One life of the process, from start to crash. */
interface Incarnation {
  readonly core: RaftCore;
  /** Null for one that started from an older copy of its disk: what it says counts only if somebody believes it. */
  readonly checker: Checker | null;
  readonly witness: Witness;
  origin: Origin;
  readonly process: SimulatedProcess;
  readonly machine: StateMachine<unknown>;
  readonly bootedAt: number;
  /** Of its monotonic clock. */
  readonly clockOffset: number;
  readonly clockRate: number;
  /** Of the last snapshot that was begun or installed. */
  snapshotIndex: number;
  isSnapshotting: boolean;
  /** What the core said about itself after each step since its effects were taken. */
  claims: RaftSummary[];
  isDrainScheduled: boolean;
  /** When the armed timer fires, in the time of the simulation. */
  armedAt: number;
}

export class SimulatedReplica {
  readonly id: ReplicaId;
  readonly disk: SimulatedDisk;
  readonly #parts: ReplicaParts;
  #life: Incarnation | null = null;
  /** What waits for a paused process; null while it runs. */
  #inbox: (() => void)[] | null = null;
  /** Counts its starts. */
  life = 0;
  /** Messages, timers and confirmations that reached the core. */
  steps = 0;
  #wallOffset: number;

  constructor(parts: ReplicaParts) {
    this.id = parts.id;
    this.disk = parts.disk;
    this.#parts = parts;
    this.#wallOffset = parts.random.integer(0, YEAR_MS);
  }

  get isUp(): boolean {
    return this.#life !== null;
  }

  get isPaused(): boolean {
    return this.#inbox !== null;
  }

  /** Null while it is down. */
  get machine(): StateMachine<unknown> | null {
    return this.#life?.machine ?? null;
  }

  /** Up, and not on an older copy of its disk. */
  get isBelieved(): boolean {
    return this.#life !== null && this.#life.checker !== null;
  }

  /** Of the present life's clock; 0 while it is down. */
  get monotonicMs(): number {
    return this.#life?.process.monotonicMs() ?? 0;
  }

  /** Entries in its log that it does not know to be committed. */
  get backlog(): number {
    const summary = this.#life?.core.summary;
    return summary === undefined ? 0 : summary.last.index - summary.commit;
  }

  get leads(): boolean {
    return this.#life?.core.summary.role === 'leader';
  }

  /** Null while it is down. */
  get status(): RaftStatus | null {
    return this.#life?.core.status ?? null;
  }

  /** The bytes of the state machine as it is now. */
  stateBytes(): Uint8Array | null {
    return this.#life === null ? null : Buffer.concat([...this.#life.machine.snapshot()]);
  }

  start(): void {
    const { id, disk, options, machine, timeline, random, checker, tampering, trace } = this.#parts;
    if (this.#life !== null || disk.lost) return;
    const stored = disk.load();
    if (stored === null) {
      this.#parts.damaged();
      return;
    }
    const recovered = tampering.recovered?.(id, stored) ?? stored;
    const clockOffset = random.integer(0, 1_000_000);
    trace(`start ${id} term ${recovered.hardState.term} commit ${recovered.hardState.commit}`);
    const watched = disk.isRolledBack ? null : checker;
    watched?.started(id, recovered);
    this.life++;
    const witness = new Witness();
    for (const [peer, position] of recovered.seen) witness.observe(peer, position);
    const bootedAt = timeline.now;
    const clockRate = random.integer(980, 1_020) / 1_000;
    const process: SimulatedProcess = {
      monotonicMs: () => clockOffset + (timeline.now - bootedAt) * clockRate,
      wallMs: () => this.#wallOffset + timeline.now,
      simulatedMs: () => timeline.now,
    };
    const core = new RaftCore({
      id,
      options,
      ...recovered,
      random: () => random.next(),
      digest: sha256,
      now: clockOffset,
      // As the runtime does it: one that has been there before lets its peers speak first.
      votesFrom: clockOffset + (recovered.hardState.term > 0 ? options.electionTimeoutMsMin : 0),
    });
    this.#life = {
      core,
      checker: watched,
      witness,
      origin: { life: this.life, position: disk.position },
      process,
      machine: machine(process),
      bootedAt,
      clockOffset,
      clockRate,
      snapshotIndex: recovered.snapshot?.meta.last.index ?? 0,
      isSnapshotting: false,
      claims: [core.summary],
      isDrainScheduled: false,
      armedAt: Number.POSITIVE_INFINITY,
    };
    this.#drain(this.#life);
  }

  crash(hasPower = true): CrashEffect {
    if (this.#life === null) return 'nothing';
    this.#life.checker?.stopped(this.id);
    this.#life = null;
    this.#inbox = null;
    return this.disk.crash(hasPower);
  }

  pause(): void {
    if (this.#life !== null) this.#inbox ??= [];
  }

  resume(): void {
    const waiting = this.#inbox ?? [];
    this.#inbox = null;
    for (const run of waiting) run();
  }

  /** The wall clock, by up to a year in either direction: whatever runs on. */
  jumpClock(): void {
    this.#wallOffset += this.#parts.random.integer(-YEAR_MS, YEAR_MS);
  }

  /** How far this replica has seen the disk of a peer. */
  seen(peer: ReplicaId): Position | undefined {
    return this.#life?.witness.entries().get(peer);
  }

  deliver(message: Message, { position }: Origin): void {
    this.#enter((life) => {
      this.#observe(life, message.from, position);
      const messages = this.#parts.tampering.received?.(message) ?? [message];
      for (const one of messages) life.core.step(one, this.#now(life));
    });
  }

  #observe({ witness, process }: Incarnation, peer: ReplicaId, position: Position): void {
    if (!this.disk.hasDatabase) return;
    witness.observe(peer, position);
    const news = witness.takeNews(process.monotonicMs());
    if (news !== null) this.disk.remember(news);
  }

  propose(payload: Uint8Array): ProposeResult | null {
    return this.#enter((life) => life.core.propose(payload, this.#now(life)));
  }

  changeConfiguration(target: Membership): ChangeResult | null {
    return this.#enter((life) => life.core.changeConfiguration(target, this.#now(life)));
  }

  transferLeadership(target: ReplicaId): TransferResult | null {
    return this.#enter((life) => life.core.transferLeadership(target, this.#now(life)));
  }

  /** The checker knows of it, and judges what becomes of it. */
  readIndex(): ReadResult | null {
    return this.#enter((life) => {
      const result = life.core.readIndex(this.#now(life));
      if (result.kind === 'pending') life.checker?.reading(this.id, result.id);
      return result;
    });
  }

  /** Runs one step of the present life; a paused process takes it later, a dead one never. */
  #enter<T>(step: (life: Incarnation) => T): T | null {
    const life = this.#life;
    if (life === null) return null;
    if (this.#inbox !== null) {
      if (this.#inbox.length < INBOX_MESSAGES_MAX) this.#inbox.push(() => this.#resumeStep(life, step));
      return null;
    }
    this.steps++;
    const result = step(life);
    life.claims.push(life.core.summary);
    if (this.#parts.drainsLate) this.#drainLater(life);
    else this.#drain(life);
    return result;
  }

  #drainLater(life: Incarnation): void {
    if (life.isDrainScheduled) return;
    life.isDrainScheduled = true;
    this.#parts.timeline.after(0, () => {
      life.isDrainScheduled = false;
      if (life !== this.#life) return;
      if (this.#inbox === null) this.#drain(life);
      else this.#inbox.push(() => life === this.#life && this.#drain(life));
    });
  }

  #resumeStep<T>(life: Incarnation, step: (life: Incarnation) => T): void {
    if (life === this.#life) this.#enter(step);
  }

  #drain(life: Incarnation): void {
    const { id, tampering } = this.#parts;
    const { checker } = life;
    for (;;) {
      const taken = life.core.takeEffects();
      const effects = tampering.effects?.(taken, life.core.status) ?? taken;
      checker?.stepped(id, effects, life.claims);
      life.claims = [];
      this.#traceTransition(effects);
      for (const message of effects.send) this.#send(life, message);
      if (effects.persist !== null) this.#write(life, effects.persist);
      if (effects.restore !== null) this.#restore(life, effects.restore);
      this.#apply(life, effects);
      for (const outcome of effects.reads) this.#answerRead(life, outcome);
      checker?.settled(id);
      const quiet =
        effects.send.length === 0 &&
        effects.persist === null &&
        effects.restore === null &&
        effects.apply.length === 0;
      if (quiet) break;
    }
    // It walks the whole log: at every step it would cost more than everything else together.
    if (this.steps % INVARIANT_STEPS === 0) life.core.assertInvariants();
    this.#arm(life);
  }

  #write(life: Incarnation, persist: Persist): void {
    this.disk.write(persist, () => {
      if (life !== this.#life) return;
      // A paused process hears of its write later, and only then sends what waits for it.
      this.#enterAlways((alive) => {
        for (const message of persist.thenSend) this.#send(alive, message);
        alive.core.persisted(persist.seq, this.#now(alive));
      });
    });
  }

  /** As `#enter`, for what no full socket buffer can lose. */
  #enterAlways(step: (life: Incarnation) => void): void {
    const life = this.#life;
    if (life === null) return;
    if (this.#inbox !== null) this.#inbox.push(() => this.#resumeStep(life, step));
    else this.#enter(step);
  }

  #restore(life: Incarnation, snapshot: Snapshot): void {
    life.checker?.restoring(this.id, snapshot);
    life.machine.restore(snapshot.data);
    life.snapshotIndex = snapshot.meta.last.index;
    this.#parts.trace(`restore ${this.id} ${life.snapshotIndex}`);
    // What a state machine restores it must also be able to write again, byte for byte.
    life.checker?.snapshotTaken(this.id, snapshotOf(snapshot.meta, [...life.machine.snapshot()]));
  }

  #apply(life: Incarnation, effects: TamperedEffects): void {
    for (const entry of effects.apply) {
      life.checker?.applying(this.id, entry);
      if (entry.kind === 'command') life.machine.apply(entry);
    }
    const last = effects.apply.at(-1);
    if (last === undefined) return;
    life.core.applied(last.index);
    life.claims.push(life.core.summary);
    if (life.isSnapshotting || last.index - life.snapshotIndex < this.#parts.snapshotEntries) return;
    life.isSnapshotting = true;
    life.snapshotIndex = last.index;
    const pieces = life.machine.snapshot()[Symbol.iterator]();
    this.#makeSnapshot(life, life.core.snapshotMeta(), pieces, []);
  }

  /** One piece a turn: whatever else happens, happens in between. */
  #makeSnapshot(
    life: Incarnation,
    meta: SnapshotMeta,
    pieces: Iterator<Uint8Array>,
    made: readonly Uint8Array[],
  ): void {
    const { timeline, random, snapshotPieceMsMax } = this.#parts;
    timeline.after(random.integer(0, snapshotPieceMsMax), () => {
      if (life !== this.#life) return;
      this.#enterAlways((alive) => {
        const piece = pieces.next();
        if (piece.done !== true) {
          this.#makeSnapshot(alive, meta, pieces, [...made, piece.value]);
          return;
        }
        alive.isSnapshotting = false;
        const snapshot = snapshotOf(meta, made);
        this.#parts.trace(`snapshot ${this.id} ${meta.last.index}`);
        alive.checker?.snapshotTaken(this.id, snapshot);
        alive.core.compact(snapshot);
      });
    });
  }

  #answerRead(life: Incarnation, outcome: ReadOutcome): void {
    life.checker?.read(this.id, outcome);
    this.#parts.onRead(outcome);
  }

  #send(life: Incarnation, message: Message): void {
    life.checker?.sending(message);
    const { position } = this.disk;
    if (position !== life.origin.position) life.origin = { life: life.origin.life, position };
    this.#parts.send(message, life.origin);
  }

  #traceTransition({ transition }: TamperedEffects): void {
    if (transition === null) return;
    const { role, term, leader } = transition;
    this.#parts.trace(`${role} ${this.id} term ${term} leader ${leader ?? 'none'}`);
  }

  #now(life: Incarnation): number {
    return life.process.monotonicMs();
  }

  /** One timer: an earlier deadline replaces it, a later one lets it fire and arm itself again. */
  #arm(life: Incarnation): void {
    const { timeline } = this.#parts;
    const deadline = life.core.deadline();
    if (deadline === Number.POSITIVE_INFINITY) return;
    const due = life.bootedAt + Math.ceil((deadline - life.clockOffset) / life.clockRate);
    const at = Math.max(due, timeline.now + 1);
    if (at >= life.armedAt) return;
    life.armedAt = at;
    timeline.at(at, () => {
      if (life !== this.#life || life.armedAt !== at) return;
      life.armedAt = Number.POSITIVE_INFINITY;
      this.#enterAlways((alive) => alive.core.tick(this.#now(alive)));
    });
  }
}

function snapshotOf(meta: SnapshotMeta, pieces: readonly Uint8Array[]): Snapshot {
  const data = Buffer.concat(pieces);
  return { meta, data, digest: sha256(data) };
}
