/** What the transport holds of one peer: the session that counts, the one it replaced, and who waits for one. */
import type { X509Certificate } from 'node:crypto';
import type { ReplicaId } from '../core/types.ts';
import type { Dialler } from './dialler.ts';
import type { DatagramKeys } from './keys.ts';
import type { Session } from './session.ts';

/** A session and the keys that it proved: derived once, so they stay together. */
export interface Bond {
  readonly session: Session;
  readonly keys: DatagramKeys;
}

export interface Link {
  readonly replica: ReplicaId;
  /** Null for a member that dialled us and is not among the peers: its session stays until `setPeers`. */
  dialler: Dialler | null;
  current: Bond | null;
  /** Lost against `current`: lives for the grace, and takes its place if that ends meanwhile. */
  replaced: Bond | null;
  /** Of the newest session: the keys outlive it. */
  certificate: X509Certificate | null;
  /** Until then appends take the stream. */
  streamUntilMs: number;
  /** Requests that wait for a session. */
  readonly waiting: Set<(session: Session) => void>;
}

export function newLink(replica: ReplicaId): Link {
  return {
    replica,
    dialler: null,
    current: null,
    replaced: null,
    certificate: null,
    streamUntilMs: 0,
    waiting: new Set(),
  };
}
