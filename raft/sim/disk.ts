/**
 * The disk of one replica. Writes take time and finish in order, several waiting ones as one, as in the runtime; a crash
 * leaves the write that was under way as a whole, in part or not at all, and its owner never hears of it. What is durable
 * stands twice: in `storage`, which the checker believes, and in a database of real records, which is what a starting
 * process reads. The two must say the same, or the database must notice that it cannot be believed.
 */
import { isDeepStrictEqual } from 'node:util';
import { needsWrite, type Persist } from '../core/effects.ts';
import type { Configuration, Entry, ReplicaId } from '../core/types.ts';
import { type Group, takeGroup } from '../runtime/group-commit.ts';
import type { MemoryStorage } from '../storage/memory.ts';
import {
  type PeerPositions,
  type Position,
  type Recovered,
  StorageDamagedError,
} from '../storage/storage.ts';
import { NO_POSITION } from '../transport/witness.ts';
import { type DatabaseImage, SimulatedDatabase } from './database.ts';
import { check, NOBODY } from './facts.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export interface DiskParameters {
  /** Real records in the real format beside what the checker believes: costs a fifth of a run. */
  readonly hasDatabase: boolean;
  readonly writeMsMin: number;
  readonly writeMsMax: number;
  /** Of a write: to take `stallMs` instead. */
  readonly stallProbability: number;
  readonly stallMs: number;
}

interface Write {
  readonly persist: Persist;
  readonly done: () => void;
}

/** What a crash did to the write that was under way. */
export type CrashEffect = 'write-lost' | 'write-torn' | 'write-unconfirmed' | 'nothing';

export interface DiskParts {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly parameters: DiskParameters;
  /** Told of the batches that one write made durable. */
  readonly durable: (batches: readonly Persist[]) => void;
}

export class SimulatedDisk {
  readonly storage: MemoryStorage;
  /** Null where the run has none: what was written is believed then. */
  readonly #database: SimulatedDatabase | null;
  readonly #parts: DiskParts;
  #queue: Write[] = [];
  #underWay: Group | null = null;
  /** A new one for each crash: completions of the old one come to nothing. */
  #power = {};
  #lost = false;
  /** Somebody broke it since it was last read. */
  #broken = false;
  #image: DatabaseImage | null = null;
  #isRolledBack = false;

  constructor(id: ReplicaId, storage: MemoryStorage, parts: DiskParts) {
    this.storage = storage;
    this.#database = parts.parameters.hasDatabase ? new SimulatedDatabase(id, storage.recover()) : null;
    this.#parts = parts;
  }

  /** A lost disk never comes back. It keeps what it held for the checker: acknowledgements were given for it. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Neither lost nor about to be found damaged. */
  get isSound(): boolean {
    return !this.#lost && !this.#broken;
  }

  /** Of no use without a database. */
  get position(): Position {
    return this.#database?.position ?? NO_POSITION;
  }

  /** Where the copy stood that was made of it. */
  get copied(): Position | null {
    return this.#image?.position ?? null;
  }

  get hasDatabase(): boolean {
    return this.#database !== null;
  }

  /** It holds an older copy of itself, and what is written to it adds to that: nothing of it is to be believed. */
  get isRolledBack(): boolean {
    return this.#isRolledBack;
  }

  /**
   * What a starting process finds, or null when it finds that the disk cannot be believed. One that nobody broke is
   * believed, and one that is believed holds what was written.
   */
  load(): Recovered | null {
    const recovered = this.#read();
    if (recovered === null) {
      return null;
    }
    if (this.#isRolledBack) return recovered;
    const expected = this.storage.recover();
    check(isSame(recovered, expected), 'a disk gives back what was written', () => {
      return `a disk gives back ${describe(recovered)} for ${describe(expected)}`;
    });
    this.#broken = false;
    return recovered;
  }

  /** Every configuration that a replica which starts from it could act on: what is not committed may go again. */
  configurations(): Configuration[] {
    const { hardState, snapshot, entries } = this.storage.recover();
    const logged = entries.filter((entry) => entry.kind === 'configuration');
    const settled = logged.findLast(({ index }) => index <= hardState.commit)?.configuration;
    const open = logged.filter(({ index }) => index > hardState.commit).map((entry) => entry.configuration);
    return [settled ?? snapshot?.meta.configuration ?? NOBODY, ...open];
  }

  write(persist: Persist, done: () => void): void {
    this.#queue.push({ persist, done });
    this.#startNext();
  }

  /** At once: it is rare, and nothing waits for it. */
  remember(seen: PeerPositions): void {
    this.#database?.remember(seen);
    if (!this.#isRolledBack) void this.storage.remember(seen);
  }

  /** Without power what is not synced is gone as well; with it only the process ends. */
  crash(hasPower: boolean): CrashEffect {
    const { random } = this.#parts;
    const group = this.#underWay;
    this.#forget();
    if (!hasPower) this.#database?.cutPower();
    if (group === null) return 'nothing';
    const effect = random.pick(['write-lost', 'write-torn', 'write-unconfirmed'] as const) ?? 'nothing';
    if (effect === 'write-torn') this.#database?.tear(group.batch, random);
    if (effect === 'write-unconfirmed') this.#commit(group);
    return effect;
  }

  lose(): void {
    this.#forget();
    this.#lost = true;
    this.storage.damage('the disk is gone');
  }

  /** False when there was nothing to break. */
  loseTail(): boolean {
    return this.#break(this.#database?.loseTail(this.#parts.random) ?? false);
  }

  flipBit(): boolean {
    return this.#break(this.#database?.flipBit(this.#parts.random) ?? false);
  }

  #break(happened: boolean): boolean {
    if (happened) this.#broken = true;
    return happened;
  }

  copy(): void {
    this.#image ??= this.#database?.image() ?? null;
  }

  /** False without a copy. The process that starts from it cannot know: its peers have to. */
  rollBack(): boolean {
    if (this.#image === null || this.#database === null) return false;
    this.#database.rollBack(this.#image);
    this.#isRolledBack = true;
    this.#broken = true;
    return true;
  }

  #read(): Recovered | null {
    try {
      return this.#database?.load() ?? this.storage.recover();
    } catch (error) {
      if (!(error instanceof StorageDamagedError)) throw error;
      const { message } = error;
      check(this.#broken, 'a sound disk is believed', () => message);
      return null;
    }
  }

  #forget(): void {
    this.#queue = [];
    this.#underWay = null;
    this.#power = {};
  }

  #startNext(): void {
    const [first, ...others] = this.#queue.map(({ persist }) => persist);
    if (this.#underWay !== null || first === undefined) return;
    const group = takeGroup([first, ...others]);
    const writes = this.#queue.splice(0, group.members.length);
    const power = this.#power;
    const duration = needsWrite(
      group.batch,
      this.#isRolledBack ? group.batch.hardState : this.storage.hardState,
    )
      ? this.#duration()
      : 0;
    this.#underWay = group;
    this.#parts.timeline.after(duration, () => {
      if (power !== this.#power) return;
      this.#commit(group);
      this.#underWay = null;
      for (const { done } of writes) done();
      this.#startNext();
    });
  }

  #duration(): number {
    const { random, parameters } = this.#parts;
    const { writeMsMin, writeMsMax, stallProbability, stallMs } = parameters;
    return random.chance(stallProbability) ? stallMs : random.integer(writeMsMin, writeMsMax);
  }

  #commit({ batch, members }: Group): void {
    this.#database?.commit(batch);
    if (this.#isRolledBack) return;
    this.storage.commit(batch);
    this.#parts.durable(members);
  }
}

function isSame(a: Recovered, b: Recovered): boolean {
  return (
    isDeepStrictEqual(a.hardState, b.hardState) &&
    isDeepStrictEqual(a.snapshot?.meta, b.snapshot?.meta) &&
    Buffer.compare(a.snapshot?.data ?? NOTHING, b.snapshot?.data ?? NOTHING) === 0 &&
    isDeepStrictEqual([...a.seen], [...b.seen]) &&
    a.entries.length === b.entries.length &&
    a.entries.every((entry, i) => isSameEntry(entry, b.entries[i]))
  );
}

const NOTHING = new Uint8Array();

function isSameEntry(a: Entry, b: Entry | undefined): boolean {
  if (a.index !== b?.index || a.term !== b.term || a.kind !== b.kind) return false;
  if (a.kind === 'command' && b.kind === 'command') return Buffer.compare(a.payload, b.payload) === 0;
  return a.kind === 'noop' || isDeepStrictEqual(a, b);
}

function describe({ hardState, snapshot, entries }: Recovered): string {
  const last = entries.at(-1) ?? snapshot?.meta.last;
  return `${JSON.stringify(hardState)}, ${entries.length} entries up to ${last?.index} of term ${last?.term}`;
}
