/**
 * What the runtime needs of a network: lossy, unordered, duplicating, but never forging: `from` of a delivered message
 * is the authenticated sender.
 */
import type { Message } from '../core/messages.ts';
import type { ReplicaId } from '../core/types.ts';

export interface Transport extends AsyncDisposable {
  /** Never throws, never blocks, never queues without bound: what cannot be sent is dropped. */
  send(message: Message): void;
  /** Set once, before start. */
  onMessage: (message: Message) => void;
  /** Set once, before start. A way to the peer was opened that was not there before. */
  onReachable: (peer: ReplicaId) => void;
  close(): Promise<void>;
}

/** Where a replica can be reached. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface PeerAddress {
  readonly replica: ReplicaId;
  readonly endpoints: readonly Endpoint[];
}
