/**
 * What the runtime needs of a network: lossy, unordered, duplicating, but never forging: `from` of a delivered message
 * is the authenticated sender.
 */
import type { Message } from '../core/messages.ts';
import type { ReplicaId } from '../core/types.ts';
import type { PeerPositions, Position } from '../storage/storage.ts';
import type { RolledBackError } from './errors.ts';

export interface Transport extends AsyncDisposable {
  /** Never throws, never blocks, never queues without bound: what cannot be sent is dropped. */
  send(message: Message): void;
  /** Set once, before start. */
  onMessage: (message: Message) => void;
  /** Set once, before start. A way to the peer was opened that was not there before. */
  onReachable: (peer: ReplicaId) => void;
  /** Set once, before start: where this replica's disk is. Peers refuse it when it stands lower than it once did. */
  position: () => Position;
  /** Called once, before start, with what `onSeen` was last told in an earlier life. */
  recall(seen: PeerPositions): void;
  /** Set once, before start. Peers were seen further than before: to be made durable. At most once a second. */
  onSeen: (seen: PeerPositions) => void;
  /** Set once, before start. A peer has proof that writes of this replica are lost: it must not take part any more. */
  onRolledBack: (error: RolledBackError) => void;
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
