/**
 * Who waits for which entry. Every proposal is answered exactly once: with the result when its entry is applied, with
 * `lost` when another entry stands in its place or when nobody can tell any more. `lost` means that the command may or
 * may not have been, or still be, carried out.
 */
import type { CommandEntry, Configuration, Entry, EntryId, LogIndex, Term } from '../core/types.ts';

export type Fate<Result> =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly result: Result }
  | { readonly kind: 'lost' };

/** A configuration change is over when its joint phase is: that takes a second entry. */
export type ChangeFate =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly configuration: Configuration }
  | { readonly kind: 'lost' };

interface Waiter<F> {
  readonly term: Term;
  readonly settle: (fate: F | { readonly kind: 'lost' }) => void;
}

export class Proposals<Result> {
  readonly #commands = new Map<LogIndex, Waiter<Fate<Result>>>();
  readonly #changes = new Map<LogIndex, Waiter<ChangeFate>>();
  /** Changes whose entry was applied, in their joint phase. */
  #entered: Waiter<ChangeFate>[] = [];

  /** Resolves with the fate of the command that was appended as `id`. */
  command(id: EntryId): Promise<Fate<Result>> {
    return wait(this.#commands, id);
  }

  change(id: EntryId): Promise<ChangeFate> {
    return wait(this.#changes, id);
  }

  commandApplied(entry: CommandEntry, result: Result): void {
    const { index } = entry;
    this.#settle(this.#commands, entry, () => ({ kind: 'applied', index, result }));
  }

  /** For every applied entry, commands after their result is known. */
  applied(entry: Entry): void {
    // What is still there waited for another entry at this place.
    this.#commands.get(entry.index)?.settle({ kind: 'lost' });
    this.#commands.delete(entry.index);
    const change = this.#changes.get(entry.index);
    this.#changes.delete(entry.index);
    if (change?.term === entry.term) this.#entered.push(change);
    else change?.settle({ kind: 'lost' });
    if (entry.kind !== 'configuration' || entry.configuration.outgoing.length > 0) return;
    const { index, configuration } = entry;
    for (const { settle } of this.#entered) settle({ kind: 'applied', index, configuration });
    this.#entered = [];
  }

  /** Whatever waits for an entry of `term` or an earlier one. */
  loseUpTo(term: Term): void {
    for (const map of [this.#commands, this.#changes])
      for (const [index, waiter] of map)
        if (waiter.term <= term) {
          map.delete(index);
          waiter.settle({ kind: 'lost' });
        }
    for (const waiter of this.#entered) if (waiter.term <= term) waiter.settle({ kind: 'lost' });
    this.#entered = this.#entered.filter((waiter) => waiter.term > term);
  }

  #settle(waiting: Map<LogIndex, Waiter<Fate<Result>>>, id: EntryId, fate: () => Fate<Result>): void {
    const waiter = waiting.get(id.index);
    if (waiter?.term !== id.term) return;
    waiting.delete(id.index);
    waiter.settle(fate());
  }
}

function wait<F>(
  waiting: Map<LogIndex, Waiter<F>>,
  { term, index }: EntryId,
): Promise<F | { readonly kind: 'lost' }> {
  // Of an earlier term of ours, and truncated since: no entry will ever come to tell it.
  waiting.get(index)?.settle({ kind: 'lost' });
  return new Promise((resolve) => {
    waiting.set(index, { term, settle: resolve });
  });
}
