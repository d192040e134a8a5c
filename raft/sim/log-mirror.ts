/**
 * The log of one replica as its effects tell it, kept without asking the core. Everything at or before the base is
 * committed and known from there.
 */
import type { Persist } from '../core/effects.ts';
import {
  type Configuration,
  type Entry,
  type LogIndex,
  type ReplicaId,
  type Term,
  toLogIndex,
} from '../core/types.ts';
import { check, extend, type Facts, type Prefix } from './facts.ts';

interface Placed {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export class LogMirror {
  readonly #owner: ReplicaId;
  readonly #facts: Facts;
  #base: LogIndex;
  #entries: Prefix[] = [];
  /** Those above the base, oldest first. */
  #configurations: Placed[] = [];

  constructor(owner: ReplicaId, facts: Facts, base: LogIndex, entries: readonly Entry[]) {
    this.#owner = owner;
    this.#facts = facts;
    this.#base = base;
    for (const entry of entries) this.append(entry);
  }

  get last(): Prefix {
    return this.#entries.at(-1) ?? this.#committedAt(this.#base);
  }

  /** Null beyond the end. */
  at(index: LogIndex): Prefix | null {
    if (index <= this.#base) return this.#facts.committedAt(index);
    return this.#entries[index - this.#base - 1] ?? null;
  }

  termAt(index: LogIndex): Term | null {
    return this.at(index)?.term ?? null;
  }

  /** The last configuration at or before `index`: what is in force there. */
  configurationAt(index: LogIndex): Configuration {
    return this.configurationBefore(toLogIndex(index + 1)).configuration;
  }

  /** Where the last configuration before `index` stands (the base, for one that is compacted), and what it is. */
  configurationBefore(index: LogIndex): Placed {
    for (let i = this.#configurations.length - 1; i >= 0; i--) {
      const placed = this.#configurations[i];
      if (placed !== undefined && placed.index < index) return placed;
    }
    const at = toLogIndex(Math.min(this.#base, index - 1));
    return { index: at, configuration: this.#committedAt(at).configuration };
  }

  append(entry: Entry): void {
    const previous = this.last;
    check(entry.index === previous.index + 1, 'log without holes', () => {
      return `replica ${this.#owner} puts entry ${entry.index} after ${previous.index}`;
    });
    check(entry.term >= previous.term, 'terms never go down in a log', () => {
      return `replica ${this.#owner} puts an entry of term ${entry.term} after one of ${previous.term}`;
    });
    const prefix = extend(previous, entry);
    this.#facts.statePrefix(this.#owner, prefix);
    this.#entries.push(prefix);
    if (entry.kind === 'configuration') this.#configurations.push(entry);
  }

  /** In the order in which a storage does it. */
  follow({
    truncateFrom,
    entries,
    compactTo,
    snapshot,
  }: Pick<Persist, 'truncateFrom' | 'entries' | 'compactTo' | 'snapshot'>): void {
    if (truncateFrom !== null) {
      this.#entries.length = Math.max(0, Math.min(this.#entries.length, truncateFrom - this.#base - 1));
      this.#configurations = this.#configurations.filter((placed) => placed.index < truncateFrom);
    }
    // A snapshot of another replica leaves a gap between the old log and what follows, or takes the place of a log that
    // ends in another entry at the same index.
    const next = entries[0]?.index ?? compactTo ?? 0;
    const contradicts =
      snapshot?.meta.last.index === this.last.index && snapshot.meta.last.term !== this.last.term;
    if (compactTo !== null && (next > this.last.index + 1 || contradicts)) this.#rebase(compactTo);
    for (const entry of entries) if (entry.index > this.#base) this.append(entry);
    if (compactTo !== null && compactTo > this.#base) this.#rebase(compactTo);
  }

  #rebase(base: LogIndex): void {
    this.#entries.splice(0, base - this.#base);
    this.#base = base;
    this.#configurations = this.#configurations.filter((placed) => placed.index > base);
  }

  #committedAt(index: LogIndex): Prefix & { readonly configuration: Configuration } {
    const committed = this.#facts.committedAt(index);
    check(committed !== null, 'compaction of committed entries', () => {
      return `replica ${this.#owner} compacted up to ${index}, which is not committed`;
    });
    return committed;
  }
}
