/**
 * Who waits for which read. All reads of one turn of the event loop are one question to the core, and a read that is
 * confirmed is answered when the state machine holds what it must show. Every one is answered exactly once.
 */
import type { ReadOutcome } from '../core/effects.ts';
import type { ReadResult } from '../core/raft.ts';
import type { LogIndex, ReplicaId } from '../core/types.ts';

/**
 * `ready`: the local state shows every write that was acknowledged, anywhere, before the read was asked for.
 * `lost`: leadership ended meanwhile; ask again, whoever leads then.
 */
export type ReadAnswer =
  | { readonly kind: 'ready'; readonly index: LogIndex }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId | null }
  | { readonly kind: 'lost' };

type Settle = (answer: ReadAnswer) => void;

export class Reads {
  /** Of this turn. */
  #open: Settle[] | null = null;
  readonly #asked = new Map<number, readonly Settle[]>();
  /** In the order of their indexes. */
  #confirmed: { readonly index: LogIndex; readonly settles: readonly Settle[] }[] = [];

  /** `ask` is called for the first read of a turn; undefined means that there is nobody to ask any more. */
  wait(ask: () => ReadResult | undefined): Promise<ReadAnswer> {
    if (this.#open === null) {
      const result = ask() ?? { kind: 'not-leader', leader: null };
      if (result.kind === 'not-leader') return Promise.resolve(result);
      this.#open = [];
      this.#asked.set(result.id, this.#open);
    }
    const open = this.#open;
    return new Promise((resolve) => open.push(resolve));
  }

  /** What is asked for from now on is another question. */
  endTurn(): void {
    this.#open = null;
  }

  settled(outcomes: readonly ReadOutcome[], applied: LogIndex): void {
    for (const outcome of outcomes) {
      const settles = this.#asked.get(outcome.id) ?? [];
      this.#asked.delete(outcome.id);
      if (outcome.kind === 'lost') answer(settles, outcome);
      else this.#confirmed.push({ index: outcome.index, settles });
    }
    this.applied(applied);
  }

  /** The state machine holds everything up to `index`. */
  applied(index: LogIndex): void {
    while (this.#confirmed[0] !== undefined && this.#confirmed[0].index <= index) {
      const { index: shown, settles } = this.#confirmed[0];
      this.#confirmed.shift();
      answer(settles, { kind: 'ready', index: shown });
    }
  }

  loseAll(): void {
    this.#open = null;
    const waiting = [...this.#asked.values(), ...this.#confirmed.map(({ settles }) => settles)];
    this.#asked.clear();
    this.#confirmed = [];
    for (const settles of waiting) answer(settles, { kind: 'lost' });
  }
}

function answer(settles: readonly Settle[], how: ReadAnswer): void {
  for (const settle of settles) settle(how);
}
