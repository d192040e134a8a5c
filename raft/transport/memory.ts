/**
 * A network inside one process, for examples and for tests of what is built on the library: it delivers everything in
 * order, a turn of the event loop later, and can be cut. For networks that lose, double and delay there is the simulator.
 */
import type { Message } from '../core/messages.ts';
import type { ReplicaId } from '../core/types.ts';
import type { Transport } from './transport.ts';
import { NO_POSITION } from './witness.ts';

export class MemoryNetwork {
  /** Every message that was handed over, delivered or not. */
  readonly sent: Message[] = [];
  readonly #handlers = new Map<ReplicaId, (message: Message) => void>();
  readonly #isolated = new Set<ReplicaId>();

  /** From now on nothing gets to this replica or away from it. */
  isolate(id: ReplicaId): void {
    this.#isolated.add(id);
  }

  /** Everybody hears everybody again. */
  heal(): void {
    this.#isolated.clear();
  }

  /** The end of one replica. */
  transport(id: ReplicaId): Transport {
    const handlers = this.#handlers;
    const close = async (): Promise<void> => {
      handlers.delete(id);
    };
    return {
      get onMessage() {
        return handlers.get(id) ?? (() => undefined);
      },
      set onMessage(handler) {
        handlers.set(id, handler);
      },
      onReachable: () => undefined,
      // Whoever starts a replica with an older disk here knows it.
      position: () => NO_POSITION,
      recall: () => undefined,
      onSeen: () => undefined,
      onRolledBack: () => undefined,
      send: (message) => this.#carry(message),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  #carry(message: Message): void {
    this.sent.push(message);
    setImmediate(() => {
      if (this.#isolated.has(message.from) || this.#isolated.has(message.to)) return;
      this.#handlers.get(message.to)?.(message);
    });
  }
}
