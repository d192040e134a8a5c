/** What can go wrong with a peer, as one error with a code, and what peers can find wrong with this replica. */
import type { ReplicaId } from '../core/types.ts';
import type { Position } from '../storage/storage.ts';
import { describeRollback } from './witness.ts';

/**
 * - `unreachable`: nothing was sent: no session, the address did not answer, or it is overloaded.
 * - `closed`: the session ended before the answer; the request may have been carried out.
 * - `timeout`: the caller's signal ended the wait; the request may have been carried out.
 * - `remote`: the other side failed to answer.
 * - `untrusted`: the other side is not who it must be; nothing was sent.
 */
export type TransportErrorCode = 'unreachable' | 'closed' | 'timeout' | 'remote' | 'untrusted';

export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A peer has seen this replica's disk further than it is now: it must never vote or acknowledge anything again. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError';
  readonly position: Position;
  readonly seen: Position;

  constructor(replica: ReplicaId, position: Position, seen: Position) {
    super(describeRollback(replica, position, seen));
    this.position = position;
    this.seen = seen;
  }
}
