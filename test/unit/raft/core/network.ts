/**
 * A few replicas in memory, on one clock, with a disk and links that a scenario cuts at will. Everything is delivered in
 * order and once unless the scenario says otherwise: it is for scripted tests, hostile networks are the simulator's.
 * After every input the invariants of the replica are asserted, and committed entries are compared across replicas.
 */
import { bootstrapState, EMPTY_STATE } from '../../../../raft/core/bootstrap.ts';
import { needsWrite } from '../../../../raft/core/effects.ts';
import type { Message } from '../../../../raft/core/messages.ts';
import { type RaftOptions, raftOptions } from '../../../../raft/core/options.ts';
import { RaftCore, type RaftStatus } from '../../../../raft/core/raft.ts';
import {
  type Configuration,
  type Entry,
  type HardState,
  type ReplicaId,
  type Snapshot,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../../../raft/core/types.ts';

export interface Disk {
  hardState: HardState;
  snapshot: Snapshot | null;
  entries: Entry[];
}

export interface Node {
  readonly id: ReplicaId;
  readonly disk: Disk;
  core: RaftCore | null;
  /** What the state machine holds: the indexes and payloads it was given, a snapshot's included. */
  applied: string[];
  /** When the last write that is under way will be durable: writes are done one after the other. */
  diskFreeAt: number;
  written: HardState;
}

export const id = (n: number): ReplicaId => toReplicaId(n);
export const ids = (...numbers: readonly number[]): ReplicaId[] => numbers.map(toReplicaId);
/** Stands for SHA-256: a sum is enough to tell a broken snapshot from a whole one. */
export const digest = (data: Uint8Array): Uint8Array =>
  Uint8Array.of(data.reduce((sum, byte) => (sum * 31 + byte) % 251, data.length % 251));
export const text = (s: string): Uint8Array => new TextEncoder().encode(s);
export const configuration = (
  voters: readonly number[],
  learners: readonly number[] = [],
  outgoing: readonly number[] = [],
): Configuration => ({ voters: ids(...voters), outgoing: ids(...outgoing), learners: ids(...learners) });

/** A log from its terms: [1, 1, 2] is three entries. The first is the configuration. */
export function logOf(terms: readonly number[], first: Configuration): Entry[] {
  return terms.map((term, i): Entry => {
    const at = { term: toTerm(term), index: toLogIndex(i + 1) };
    if (i === 0) return { ...at, kind: 'configuration', configuration: first };
    return { ...at, kind: 'command', payload: text(`${term}/${i + 1}`) };
  });
}

export function diskOf(
  terms: readonly number[],
  first: Configuration,
  term: number = terms.at(-1) ?? 0,
): Disk {
  const hardState = { term: toTerm(term), vote: null, commit: toLogIndex(0) };
  return { hardState, snapshot: null, entries: logOf(terms, first) };
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

export class Network {
  readonly nodes: Map<ReplicaId, Node> = new Map();
  readonly #options: RaftOptions;
  #events: Event[] = [];
  readonly #cut: Set<string> = new Set();
  readonly #committed: Map<number, string> = new Map();
  #random: number;
  now = 0;
  diskMs = 1;
  /** Every message that was handed to the network, delivered or not. */
  sent: Message[] = [];
  /** After how many ms a message arrives: never for none, twice for two. */
  delays: (message: Message) => readonly number[] = () => [1];

  constructor(options: Partial<RaftOptions> = {}, seed = 1) {
    this.#options = raftOptions(options);
    this.#random = seed;
  }

  /** One voter and as many learners-to-be with empty disks. */
  static bootstrap(size: number, options: Partial<RaftOptions> = {}, seed = 1): Network {
    const network = new Network(options, seed);
    for (let n = 1; n <= size; n++) {
      const state = n === 1 ? bootstrapState(id(1)) : EMPTY_STATE;
      network.add(n, { hardState: state.hardState, snapshot: null, entries: [...state.entries] });
    }
    return network;
  }

  /** `size` voters that share a first entry. */
  static voters(size: number, options: Partial<RaftOptions> = {}, seed = 1): Network {
    const network = new Network(options, seed);
    const voters = Array.from({ length: size }, (_, i) => i + 1);
    for (const n of voters) network.add(n, diskOf([1], configuration(voters)));
    return network;
  }

  add(n: number, disk: Disk): Node {
    const node: Node = { id: id(n), disk, core: null, applied: [], diskFreeAt: 0, written: disk.hardState };
    this.nodes.set(node.id, node);
    this.restart(n);
    return node;
  }

  node(n: number): Node {
    const node = this.nodes.get(id(n));
    if (node === undefined) throw new Error(`no node ${n}`);
    return node;
  }

  core(n: number): RaftCore {
    const { core } = this.node(n);
    if (core === null) throw new Error(`node ${n} is down`);
    return core;
  }

  status(n: number): RaftStatus {
    return this.core(n).status;
  }

  /** Everything in memory and everything not yet written is gone. */
  crash(n: number): void {
    this.node(n).core = null;
  }

  restart(n: number): void {
    const node = this.node(n);
    const { hardState, snapshot, entries } = node.disk;
    node.applied = [];
    node.diskFreeAt = this.now;
    node.written = hardState;
    node.core = new RaftCore({
      id: node.id,
      options: this.#options,
      hardState,
      snapshot,
      entries,
      random: () => this.random(),
      digest,
      now: this.now,
    });
    this.drain(n);
  }

  /** Cuts both directions between each of `left` and each of `right`. */
  partition(left: readonly number[], right: readonly number[]): void {
    for (const a of left) for (const b of right) this.#cut.add(`${a}>${b}`).add(`${b}>${a}`);
  }

  isolate(n: number): void {
    const others = [...this.nodes.keys()].filter((other) => other !== n);
    this.partition([n], others);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** The leader of the highest term, if there is one. */
  leader(): number | null {
    const leaders = [...this.nodes.values()]
      .flatMap(({ core }) => (core === null ? [] : [core.status]))
      .filter(({ role }) => role === 'leader')
      .toSorted((a, b) => b.term - a.term);
    return leaders[0]?.id ?? null;
  }

  propose(n: number, payload: string): ReturnType<RaftCore['propose']> {
    const result = this.core(n).propose(text(payload), this.now);
    this.drain(n);
    return result;
  }

  change(
    n: number,
    voters: readonly number[],
    learners: readonly number[] = [],
  ): ReturnType<RaftCore['changeConfiguration']> {
    const result = this.core(n).changeConfiguration(
      { voters: ids(...voters), learners: ids(...learners) },
      this.now,
    );
    this.drain(n);
    return result;
  }

  /** A snapshot of what the node has applied. */
  compact(n: number): void {
    const node = this.node(n);
    const core = this.core(n);
    const data = text(JSON.stringify(node.applied));
    core.compact({ meta: core.snapshotMeta(), data, digest: digest(data) });
    this.drain(n);
  }

  /** The election timer of this node runs out before all others, as if it had drawn the shortest timeout. */
  campaign(n: number): void {
    const only = (m: number): boolean => m === n;
    const requests = (): number =>
      this.sent.filter((m) => m.from === n && m.kind === 'pre-vote-request').length;
    const before = requests();
    while (requests() === before && this.status(n).role !== 'leader') {
      this.run(Math.max(1, this.core(n).deadline() - this.now), only);
    }
    this.run(100, only);
  }

  deliver(message: Message): void {
    const node = this.nodes.get(message.to);
    if (node?.core === undefined || node.core === null) return;
    node.core.step(message, this.now);
    this.drain(message.to);
  }

  /** `ms` of virtual time. `ticks` says whose timers run. */
  run(ms: number, ticks: (n: number) => boolean = () => true): void {
    const end = this.now + ms;
    while (this.#next(end, ticks)) {}
    this.now = end;
  }

  /** Runs until `condition`, at most `ms`. False when time ran out. */
  runUntil(condition: () => boolean, ms = 20_000): boolean {
    const end = this.now + ms;
    while (!condition()) if (!this.#next(end, () => true)) return false;
    return true;
  }

  elect(n?: number): number {
    if (n !== undefined) this.campaign(n);
    const elected = this.runUntil(() => {
      const leader = this.leader();
      return (
        leader !== null &&
        (n === undefined || leader === n) &&
        this.status(leader).commit === this.status(leader).last.index
      );
    });
    const leader = this.leader();
    if (!elected || leader === null) throw new Error('no leader was elected');
    return leader;
  }

  #next(end: number, ticks: (n: number) => boolean): boolean {
    const event = this.#events.reduce<Event | null>(
      (least, e) => (least === null || e.at < least.at ? e : least),
      null,
    );
    const due = [...this.nodes.values()]
      .flatMap(({ id: n, core }) => (core !== null && ticks(n) ? [{ n, at: core.deadline() }] : []))
      .toSorted((a, b) => a.at - b.at)[0];
    if (event !== null && event.at <= end && (due === undefined || event.at <= due.at)) {
      this.#events = this.#events.filter((e) => e !== event);
      this.now = Math.max(this.now, event.at);
      event.run();
      return true;
    }
    if (due === undefined || due.at > end) return false;
    this.now = Math.max(this.now, due.at);
    this.core(due.n).tick(this.now);
    this.drain(due.n);
    return true;
  }

  /** Carries out what the core wants. */
  drain(n: number): void {
    const node = this.node(n);
    const { core } = node;
    if (core === null) return;
    core.assertInvariants();
    const effects = core.takeEffects();
    core.assertInvariants();
    for (const message of effects.send) this.#send(message);
    const { persist } = effects;
    if (persist !== null) {
      const stillUp = (): boolean => node.core === core;
      const writeMs = needsWrite(persist, node.written) ? this.diskMs : 0;
      if (writeMs > 0) node.written = persist.hardState;
      node.diskFreeAt = Math.max(this.now, node.diskFreeAt) + writeMs;
      this.#after(node.diskFreeAt - this.now, () => {
        if (!stillUp()) return;
        write(node.disk, persist);
        for (const message of persist.thenSend) this.#send(message);
        core.persisted(persist.seq, this.now);
        this.drain(n);
      });
    }
    if (effects.restore !== null) node.applied = restored(effects.restore);
    for (const entry of effects.apply) this.#apply(node, entry);
    const last = effects.apply.at(-1);
    if (last === undefined) return;
    core.applied(last.index);
    this.drain(n);
  }

  #apply(node: Node, entry: Entry): void {
    const what = describe(entry);
    const known = this.#committed.get(entry.index);
    if (known !== undefined && known !== what) throw new Error(`${node.id} applies ${what}, others ${known}`);
    this.#committed.set(entry.index, what);
    node.applied.push(what);
  }

  #send(message: Message): void {
    this.sent.push(message);
    if (this.#cut.has(`${message.from}>${message.to}`)) return;
    for (const ms of this.delays(message)) this.#after(ms, () => this.deliver(message));
  }

  /** FIFO for equal delays: a later event of the same time stands behind. */
  #after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, run });
  }

  /** mulberry32 */
  random(): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

export function describe(entry: Entry): string {
  switch (entry.kind) {
    case 'noop':
      return `${entry.index}:noop@${entry.term}`;
    case 'command':
      return `${entry.index}:${new TextDecoder().decode(entry.payload)}@${entry.term}`;
    case 'configuration': {
      const { voters, outgoing, learners } = entry.configuration;
      return `${entry.index}:${voters}|${outgoing}|${learners}@${entry.term}`;
    }
  }
}

function restored(snapshot: Snapshot): string[] {
  const state: unknown = JSON.parse(new TextDecoder().decode(snapshot.data));
  if (!Array.isArray(state)) throw new Error('not a snapshot of ours');
  return state.map(String);
}

/** As a storage does it: one atomic batch. */
function write(disk: Disk, batch: NonNullable<ReturnType<RaftCore['takeEffects']>['persist']>): void {
  disk.hardState = batch.hardState;
  const { truncateFrom, compactTo } = batch;
  if (truncateFrom !== null) disk.entries = disk.entries.filter((entry) => entry.index < truncateFrom);
  if (compactTo !== null) disk.entries = disk.entries.filter((entry) => entry.index > compactTo);
  disk.entries.push(...batch.entries);
  if (batch.snapshot !== null) disk.snapshot = batch.snapshot;
}
