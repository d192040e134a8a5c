/**
 * The disk of one replica. Writes take time and finish in order, several waiting ones as one, as in the runtime; a crash
 * may or may not leave the write that was under way, as a whole, and its owner never hears of it. What is durable is
 * `storage`, and that is what the checker believes.
 */
import { needsWrite, type Persist } from '../core/effects.ts';
import { type Group, takeGroup } from '../runtime/group-commit.ts';
import type { MemoryStorage } from '../storage/memory.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export interface DiskParameters {
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

export class SimulatedDisk {
  readonly storage: MemoryStorage;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #parameters: DiskParameters;
  /** Told of the batches that one write made durable. */
  readonly #durable: (batches: readonly Persist[]) => void;
  #queue: Write[] = [];
  #underWay: Group | null = null;
  /** A new one for each crash: completions of the old one come to nothing. */
  #power = {};
  #lost = false;

  constructor(
    storage: MemoryStorage,
    parts: {
      timeline: Timeline;
      random: Random;
      parameters: DiskParameters;
      durable: (batches: readonly Persist[]) => void;
    },
  ) {
    this.storage = storage;
    this.#timeline = parts.timeline;
    this.#random = parts.random;
    this.#parameters = parts.parameters;
    this.#durable = parts.durable;
  }

  /** A lost disk never comes back. It keeps what it held for the checker: acknowledgements were given for it. */
  get lost(): boolean {
    return this.#lost;
  }

  write(persist: Persist, done: () => void): void {
    this.#queue.push({ persist, done });
    this.#startNext();
  }

  crash(): void {
    if (this.#underWay !== null && this.#random.chance(0.5)) this.#commit(this.#underWay);
    this.#forget();
  }

  lose(): void {
    this.#forget();
    this.#lost = true;
    this.storage.damage('the disk is gone');
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
    this.#underWay = group;
    this.#timeline.after(needsWrite(group.batch, this.storage.hardState) ? this.#duration() : 0, () => {
      if (power !== this.#power) return;
      this.#commit(group);
      this.#underWay = null;
      for (const { done } of writes) done();
      this.#startNext();
    });
  }

  #duration(): number {
    const { writeMsMin, writeMsMax, stallProbability, stallMs } = this.#parameters;
    return this.#random.chance(stallProbability) ? stallMs : this.#random.integer(writeMsMin, writeMsMax);
  }

  #commit({ batch, members }: Group): void {
    this.storage.commit(batch);
    this.#durable(members);
  }
}
