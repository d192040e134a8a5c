/**
 * Counts what had to be put back, and notices a fight: somebody who removes the same thing again and again. Holds no
 * more than what was repaired within the last minute. The clock is the caller's. Pure.
 */
const WINDOW_MS = 60_000;
/** A flush and a restarted network manager are two; this many are a fight. */
const CONTESTED = 5;

export class Repairs {
  readonly #recent = new Map<string, readonly number[]>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  record(entries: readonly string[], nowMs: number): void {
    this.#total += entries.length;
    const within = (at: number): boolean => nowMs - at < WINDOW_MS;
    for (const [entry, times] of this.#recent) if (!times.some(within)) this.#recent.delete(entry);
    for (const entry of entries) {
      const times = (this.#recent.get(entry) ?? []).filter(within);
      this.#recent.set(entry, [...times.slice(-CONTESTED), nowMs]);
    }
  }

  contested(nowMs: number): readonly string[] {
    return [...this.#recent]
      .filter(([, times]) => times.filter((at) => nowMs - at < WINDOW_MS).length >= CONTESTED)
      .map(([entry]) => entry);
  }
}
