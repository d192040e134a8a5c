/**
 * Remembers how far each peer's disk was, so that a peer whose directory was put back to an older copy is found out: it
 * may have forgotten votes it gave and entries it acknowledged, and its own disk cannot tell. Pure; making the memory
 * durable is for whoever owns the disk.
 *
 * A hello must be compared with what was seen before it was written: what the peer sends afterwards stands higher and
 * may overtake it. So whoever expects a hello takes `entries` first.
 */
import { type ReplicaId, toTerm } from '../core/types.ts';
import { SEEN_MS } from '../limits.ts';
import type { PeerPositions, Position } from '../storage/storage.ts';

/** Of who has no disk, and below everything that was seen. */
export const NO_POSITION: Position = { writeSequence: 0, term: toTerm(0) };

export class Witness {
  readonly #seen = new Map<ReplicaId, Position>();
  #hasNews = false;
  #reportedMs = -SEEN_MS;

  /** What is lower than before in one part changes the other part only. */
  observe(peer: ReplicaId, { writeSequence, term }: Position): void {
    const seen = this.#seen.get(peer) ?? NO_POSITION;
    if (writeSequence <= seen.writeSequence && term <= seen.term) return;
    this.#seen.set(peer, {
      writeSequence: Math.max(writeSequence, seen.writeSequence),
      term: toTerm(Math.max(term, seen.term)),
    });
    this.#hasNews = true;
  }

  /** The peer is none any more; its replica id will not come back. */
  forget(peer: ReplicaId): void {
    this.#seen.delete(peer);
  }

  /** As it is now; later observations do not change it. */
  entries(): PeerPositions {
    return new Map(this.#seen);
  }

  /** The same when it has changed since the last report and that was long enough ago, else null. */
  takeNews(nowMs: number): PeerPositions | null {
    if (!this.#hasNews || nowMs - this.#reportedMs < SEEN_MS) return null;
    this.#hasNews = false;
    this.#reportedMs = nowMs;
    return this.entries();
  }
}

/** Has a replica that stands at `position` lost what was seen of it? */
export function isBehind(position: Position, seen: Position | undefined): boolean {
  return seen !== undefined && (position.writeSequence < seen.writeSequence || position.term < seen.term);
}

export function describeRollback(replica: ReplicaId, position: Position, seen: Position): string {
  return (
    `replica ${replica} stands at write ${position.writeSequence} of term ${position.term}, ` +
    `but was seen at write ${seen.writeSequence} of term ${seen.term}: its directory was put back to an older copy; ` +
    'remove the replica from the cluster and let the host join again as a new one'
  );
}
