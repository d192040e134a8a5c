/**
 * What became of a leadership transfer, told from the outside: the target is heard as leader, or this replica goes on
 * leading without a transfer, or somebody else was faster. One at a time.
 */
import type { Transition } from '../core/effects.ts';
import type { TransferResult } from '../core/raft.ts';
import type { ReplicaId } from '../core/types.ts';

/** `timed-out`: the target does not lead; whoever did, or somebody else, does. */
export type TransferOutcome =
  | { readonly kind: 'transferred' }
  | { readonly kind: 'timed-out' }
  | Exclude<TransferResult, { kind: 'started' }>;

export class Transfers {
  #waiting: { readonly target: ReplicaId; readonly settle: (outcome: TransferOutcome) => void } | null = null;

  wait(target: ReplicaId, start: () => TransferResult | undefined): Promise<TransferOutcome> {
    const result = start() ?? { kind: 'not-leader', leader: null };
    if (result.kind !== 'started') return Promise.resolve(result);
    this.#settle('timed-out');
    return new Promise((settle) => {
      this.#waiting = { target, settle };
    });
  }

  /** After each turn: who leads now, and whom the core still hands over to. */
  observe({ role, leader }: Transition, pending: ReplicaId | null): void {
    if (this.#waiting === null) return;
    if (leader === this.#waiting.target) this.#settle('transferred');
    else if (leader !== null && (role !== 'leader' || pending === null)) this.#settle('timed-out');
  }

  giveUp(): void {
    this.#settle('timed-out');
  }

  #settle(kind: 'transferred' | 'timed-out'): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.settle({ kind });
  }
}
