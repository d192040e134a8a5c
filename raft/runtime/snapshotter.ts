/**
 * When to take a snapshot: a count of what was applied since the last one. Pure; taking it is the node's business.
 * Bytes count as well as entries, because the log lives in memory.
 */
import type { Entry } from '../core/types.ts';
import { SNAPSHOT_BYTES, SNAPSHOT_ENTRIES } from '../limits.ts';

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

  /** A snapshot of everything applied so far was taken or installed. */
  reset(): void {
    this.#entries = 0;
    this.#bytes = 0;
  }
}
