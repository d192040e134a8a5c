/**
 * One replica in the real world: the core with a clock, a disk, a network and a state machine. Owns the loop: inputs go
 * into the core as they come; once in a turn of the event loop its effects are carried out, so that everything which
 * arrived together is answered together. One write at a time, and everything that waits is the next one (group commit);
 * what depends on a write leaves only after it. Entries are applied while the disk works.
 *
 * A failed write or a broken invariant is final: nothing is sent or answered any more, and `onFatal` says why. It never
 * retries a write: after a failed sync nobody knows what is on the disk.
 */
import type { Effects, FreeMessage, Persist, Transition } from '../core/effects.ts';
import { needsWrite } from '../core/effects.ts';
import type { Message } from '../core/messages.ts';
import { type RaftOptions, raftOptions } from '../core/options.ts';
import { type Membership, RaftCore, type RaftStatus } from '../core/raft.ts';
import type { Configuration, Entry, HardState, LogIndex, ReplicaId, SnapshotMeta } from '../core/types.ts';
import { COMMIT_HINT_MS } from '../limits.ts';
import type { PeerPositions, PersistBatch, RaftStorage, Recovered } from '../storage/storage.ts';
import type { Transport } from '../transport/transport.ts';
import { DeadlineTimer, monotonicMs } from './clock.ts';
import { takeGroup } from './group-commit.ts';
import { Proposals } from './proposals.ts';
import { type ReadAnswer, Reads } from './reads.ts';
import { makeSnapshot, SnapshotPolicy, sha256 } from './snapshotter.ts';
import type { StateMachine } from './state-machine.ts';
import { type TransferOutcome, Transfers } from './transfers.ts';

export interface RaftNodeOptions<Result> {
  readonly id: ReplicaId;
  readonly options?: Partial<RaftOptions>;
  /** Opened by the caller, who also closes it, after the node. */
  readonly storage: RaftStorage;
  /** Made by the caller, who also closes it, after the node. */
  readonly transport: Transport;
  /** Empty: it is rebuilt from the snapshot and the log. */
  readonly stateMachine: StateMachine<Result>;
  /** Called once, when the replica has stopped for good because of an error. The process should end. */
  readonly onFatal: (error: Error) => void;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** `lost`: the command may or may not have been, or still be, carried out. Ask again under the same request id. */
export type ProposalOutcome<Result> =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly result: Result }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'busy' }
  | { readonly kind: 'transferring' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'lost' };

/** `applied` when the joint phase is over as well. */
export type ConfigurationOutcome =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly configuration: Configuration }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'in-progress' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'lost' };

export class RaftNode<Result> implements AsyncDisposable {
  readonly #options: RaftNodeOptions<Result>;
  readonly #raftOptions: RaftOptions;
  readonly #core: RaftCore;
  readonly #proposals = new Proposals<Result>();
  readonly #reads = new Reads();
  readonly #transfers = new Transfers();
  readonly #snapshots = new SnapshotPolicy();
  /** The snapshot that is being made; it never rejects. */
  #snapshotting: Promise<void> | null = null;
  readonly #timer: DeadlineTimer;
  readonly #transitionListeners = new Set<(transition: Transition) => void>();
  readonly #appliedListeners = new Set<(index: LogIndex) => void>();
  #isDrainScheduled = false;
  /** Closed or failed: nothing goes in or out any more. */
  #isStopped = false;
  #hasFailed = false;
  #closing: Promise<void> | null = null;
  /** Batches that wait for the disk, oldest first. */
  #waiting: Persist[] = [];
  /** The write that is under way; it never rejects. */
  #writing: Promise<void> | null = null;
  /** The last time that peers' positions were written; it never rejects. */
  #remembering: Promise<void> | null = null;
  /** Of the last write. */
  #written: HardState;
  #hintTimer: NodeJS.Timeout | null = null;
  readonly #loseTimers = new Set<NodeJS.Timeout>();
  #isLeader = false;
  /** As it was last reported. */
  #transition: Transition;

  /**
   * Loads the storage (StorageDamagedError passes through) and rebuilds the state machine up to what was known to be
   * committed: when it resolves, that state is there, with or without a quorum.
   */
  static async start<Result>(options: RaftNodeOptions<Result>): Promise<RaftNode<Result>> {
    const { storage, transport } = options;
    const recovered = await storage.load();
    const node = new RaftNode(options, recovered);
    transport.onMessage = (message) => node.#receive(message);
    transport.onReachable = (peer) => node.#input(() => node.#core.reachable(peer, monotonicMs()));
    transport.position = () => storage.position;
    transport.recall(recovered.seen);
    transport.onSeen = (seen) => {
      node.#remembering = node.#remember(seen);
    };
    transport.onRolledBack = (error) => node.#fail(error);
    node.#drain();
    return node;
  }

  private constructor(options: RaftNodeOptions<Result>, recovered: Recovered) {
    this.#options = options;
    this.#raftOptions = raftOptions(options.options);
    this.#written = recovered.hardState;
    this.#timer = new DeadlineTimer(() => this.#tick());
    const nowMs = monotonicMs();
    // One that was here before lets its peers speak first: they may know that its disk is an older copy.
    const isRestart = recovered.hardState.term > 0;
    this.#core = new RaftCore({
      id: options.id,
      options: this.#raftOptions,
      ...recovered,
      random: options.random ?? Math.random,
      digest: sha256,
      now: nowMs,
      votesFrom: nowMs + (isRestart ? this.#raftOptions.electionTimeoutMsMin : 0),
    });
    this.#transition = this.#core.status;
  }

  status(): RaftStatus {
    return this.#core.status;
  }

  /** Resolves when its entry is applied here, or when that cannot be known any more. Never rejects. */
  async propose(payload: Uint8Array): Promise<ProposalOutcome<Result>> {
    const outcome = this.#input(() => this.#core.propose(payload, monotonicMs()));
    if (outcome?.kind === 'appended') return await this.#proposals.command(outcome.id);
    return outcome ?? { kind: 'not-leader', leader: null };
  }

  /** Never rejects. */
  async changeConfiguration(target: Membership): Promise<ConfigurationOutcome> {
    const outcome = this.#input(() => this.#core.changeConfiguration(target, monotonicMs()));
    if (outcome?.kind === 'appended') return await this.#proposals.change(outcome.id);
    return outcome ?? { kind: 'not-leader', leader: null };
  }

  /** For a read of the state machine that must show every acknowledged write. Leader only. Never rejects. */
  readIndex(): Promise<ReadAnswer> {
    return this.#reads.wait(() => this.#input(() => this.#core.readIndex(monotonicMs())));
  }

  /** Hands leadership to a voter. Proposals are `transferring` until it is over. Never rejects. */
  transferLeadership(target: ReplicaId): Promise<TransferOutcome> {
    return this.#transfers.wait(target, () =>
      this.#input(() => this.#core.transferLeadership(target, monotonicMs())),
    );
  }

  /** When role, term or known leader changed. Returns what ends it. */
  onTransition(listener: (transition: Transition) => void): () => void {
    this.#transitionListeners.add(listener);
    return () => this.#transitionListeners.delete(listener);
  }

  /** After a batch of entries or a snapshot was applied; the state machine holds everything up to `index` then. */
  onApplied(listener: (index: LogIndex) => void): () => void {
    this.#appliedListeners.add(listener);
    return () => this.#appliedListeners.delete(listener);
  }

  /** Waits for the write that is under way. Proposals that wait are `lost`. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #shutDown(): Promise<void> {
    if (this.#isDrainScheduled) this.#drain();
    this.#stop();
    await this.#writing;
    await this.#snapshotting;
    await this.#remembering;
    if (this.#isIdle && !this.#hasFailed && this.#isHintDue) await this.#persist(this.#hint(), []);
  }

  #receive(message: Message): void {
    this.#input(() => this.#core.step(message, monotonicMs()));
  }

  #tick(): void {
    this.#input(() => this.#core.tick(monotonicMs()));
  }

  /** Everything that goes into the core passes here. Undefined when the node has stopped. */
  #input<T>(step: () => T): T | undefined {
    return this.#guard(() => {
      const outcome = step();
      this.#scheduleDrain();
      return outcome;
    });
  }

  #guard<T>(work: () => T): T | undefined {
    if (this.#isStopped) return undefined;
    try {
      return work();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #scheduleDrain(): void {
    if (this.#isDrainScheduled) return;
    this.#isDrainScheduled = true;
    setImmediate(() => this.#drain());
  }

  #drain(): void {
    this.#isDrainScheduled = false;
    this.#guard(() => {
      this.#reads.endTurn();
      const effects = this.#core.takeEffects();
      this.#send(effects.send);
      if (effects.persist !== null) this.#waiting.push(effects.persist);
      this.#write();
      this.#apply(effects);
      if (effects.reads.length > 0) this.#reads.settled(effects.reads, this.#core.status.applied);
      if (effects.transition !== null) this.#changeRole(effects.transition);
      this.#transfers.observe(this.#transition, this.#core.transferTarget);
      this.#timer.set(this.#core.deadline());
      this.#armCommitHint();
    });
  }

  #send(messages: readonly (FreeMessage | Message)[]): void {
    for (const message of messages) this.#options.transport.send(message);
  }

  /** Starts the next write when the disk is free. */
  #write(): void {
    const [first, ...others] = this.#waiting;
    if (this.#writing !== null || first === undefined) return;
    const { batch, members } = takeGroup([first, ...others]);
    this.#waiting = this.#waiting.slice(members.length);
    // What only orders its messages behind earlier batches is durable already.
    if (!needsWrite(batch, this.#written)) {
      this.#confirm(members);
      this.#write();
      return;
    }
    this.#writing = this.#persist(batch, members);
  }

  /** Apart from the writes of Raft: nothing waits for it. */
  async #remember(seen: PeerPositions): Promise<void> {
    if (this.#isStopped) return;
    try {
      await this.#options.storage.remember(seen);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #persist(batch: PersistBatch, members: readonly Persist[]): Promise<void> {
    try {
      await this.#options.storage.write(batch);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#writing = null;
    this.#written = batch.hardState;
    this.#guard(() => {
      this.#confirm(members);
      this.#write();
    });
  }

  #confirm(members: readonly Persist[]): void {
    for (const { seq, thenSend } of members) {
      this.#core.persisted(seq, monotonicMs());
      this.#send(thenSend);
    }
    this.#scheduleDrain();
  }

  #apply(effects: Effects): void {
    const { stateMachine } = this.#options;
    if (effects.restore !== null) {
      stateMachine.restore(effects.restore.data);
      this.#snapshots.reset();
      // Which of its own commands the snapshot holds is not to be seen.
      this.#proposals.loseUpTo(this.#core.status.term);
    }
    for (const entry of effects.apply) this.#applyEntry(entry);
    const index = effects.apply.at(-1)?.index ?? effects.restore?.meta.last.index;
    if (index === undefined) return;
    this.#core.applied(index);
    // A leader tells it to its followers, when who waited for it had the chance to propose the next entry.
    this.#scheduleDrain();
    this.#reads.applied(index);
    if (this.#snapshots.isDue) this.#takeSnapshot();
    for (const listener of [...this.#appliedListeners]) listener(index);
  }

  #applyEntry(entry: Entry): void {
    if (entry.kind === 'command') {
      const result = this.#options.stateMachine.apply(entry);
      this.#proposals.commandApplied(entry, result);
    }
    this.#proposals.applied(entry);
    this.#snapshots.applied(entry);
  }

  #takeSnapshot(): void {
    if (this.#snapshotting !== null) return;
    const pieces = this.#options.stateMachine.snapshot();
    this.#snapshots.reset();
    this.#snapshotting = this.#makeSnapshot(this.#core.snapshotMeta(), pieces);
  }

  async #makeSnapshot(meta: SnapshotMeta, pieces: Iterable<Uint8Array>): Promise<void> {
    try {
      const { maxSnapshotBytes } = this.#raftOptions;
      const snapshot = await makeSnapshot(meta, pieces, maxSnapshotBytes, () => this.#isStopped);
      if (snapshot === null) return;
      // Ahead of the write that names it, so that entries do not wait for all of its data.
      await this.#options.storage.stageSnapshot(snapshot);
      this.#input(() => this.#core.compact(snapshot));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#snapshotting = null;
    }
  }

  #changeRole(transition: Transition): void {
    const isLeader = transition.role === 'leader';
    this.#transition = transition;
    if (this.#isLeader && !isLeader) this.#loseLater(transition);
    this.#isLeader = isLeader;
    for (const listener of [...this.#transitionListeners]) listener(transition);
  }

  /** The next leader may still commit what this one appended; who waits learns it, but does not wait for ever. */
  #loseLater({ term }: Transition): void {
    const timer = setTimeout(() => {
      this.#loseTimers.delete(timer);
      this.#proposals.loseUpTo(term);
      // One that leads again hears of its own transfers.
      if (!this.#isLeader) this.#transfers.giveUp();
    }, 2 * this.#raftOptions.electionTimeoutMsMax);
    this.#loseTimers.add(timer);
  }

  /** Writes carry the commit index; when none comes, it gets one of its own. */
  #armCommitHint(): void {
    if (this.#hintTimer !== null || !this.#isHintDue) return;
    this.#hintTimer = setTimeout(() => {
      this.#hintTimer = null;
      if (this.#isStopped || !this.#isHintDue) return;
      if (this.#isIdle) this.#writing = this.#persist(this.#hint(), []);
      else this.#armCommitHint();
    }, COMMIT_HINT_MS);
  }

  get #isHintDue(): boolean {
    return this.#core.hardState.commit > this.#written.commit;
  }

  /** Nothing is being written, waits to be, or will wait as soon as the effects are taken. */
  get #isIdle(): boolean {
    return this.#writing === null && this.#waiting.length === 0 && !this.#isDrainScheduled;
  }

  #hint(): PersistBatch {
    const { hardState } = this.#core;
    return { hardState, truncateFrom: null, entries: [], snapshot: null, compactTo: null };
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#stop();
    this.#options.onFatal(error instanceof Error ? error : new Error('the replica failed', { cause: error }));
  }

  #stop(): void {
    this.#isStopped = true;
    this.#timer.close();
    if (this.#hintTimer !== null) clearTimeout(this.#hintTimer);
    for (const timer of this.#loseTimers) clearTimeout(timer);
    this.#proposals.loseUpTo(this.#core.status.term);
    this.#reads.loseAll();
    this.#transfers.giveUp();
  }
}
