/**
 * When to take a snapshot, and making one without stopping the world: the state machine's pieces are asked for one a turn
 * of the event loop, so that messages and writes go on between them.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Entry, Snapshot, SnapshotMeta } from '../core/types.ts';
import { SNAPSHOT_BYTES, SNAPSHOT_ENTRIES } from '../limits.ts';

/** Bytes count as well as entries, because the log lives in memory. */
export class SnapshotPolicy {
  #entries = 0;
  #bytes = 0;

  applied(entry: Entry): void {
    this.#entries += 1;
    if (entry.kind === 'command') this.#bytes += entry.payload.length;
  }

  get isDue(): boolean {
    return this.#entries >= SNAPSHOT_ENTRIES || this.#bytes >= SNAPSHOT_BYTES;
  }

  /** A snapshot of everything applied so far was begun or installed. */
  reset(): void {
    this.#entries = 0;
    this.#bytes = 0;
  }
}

/** SHA-256, as the core wants it. */
export function sha256(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}

/** Null when `isCancelled` turns true meanwhile. Throws for a state that is larger than `bytesMax`. */
export async function makeSnapshot(
  meta: SnapshotMeta,
  pieces: Iterable<Uint8Array>,
  bytesMax: number,
  isCancelled: () => boolean,
): Promise<Snapshot | null> {
  const hash = createHash('sha256');
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    hash.update(piece);
    parts.push(piece);
    bytes += piece.length;
    if (bytes > bytesMax) throw new RangeError(`the state machine is larger than ${bytesMax} bytes`);
    await nextTurn();
    if (isCancelled()) return null;
  }
  return { meta, data: Buffer.concat(parts), digest: hash.digest() };
}
