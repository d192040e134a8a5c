/**
 * Estimates the time from an append to its acknowledgement, the peer's disk included, as RFC 6298 does: a smoothed mean
 * and deviation, one message measured at a time, and never one that was sent twice, because its answer could belong to
 * either (Karn).
 */
import { type LogIndex, toLogIndex } from './types.ts';

export class RoundTrip {
  readonly #initialMs: number;
  readonly #minMs: number;
  #mean: number | null = null;
  #deviation = 0;
  #timed: { readonly index: LogIndex; readonly at: number } | null = null;
  #highestSent: LogIndex = toLogIndex(0);

  constructor(initialMs: number, minMs: number) {
    this.#initialMs = initialMs;
    this.#minMs = minMs;
  }

  /** The smoothed round trip, 0 before the first measurement. */
  get rtt(): number {
    return this.#mean ?? 0;
  }

  /** How long to wait before sending again. */
  get timeout(): number {
    if (this.#mean === null) return this.#initialMs;
    return Math.max(this.#minMs, this.#mean + 4 * this.#deviation);
  }

  sent(index: LogIndex, now: number): void {
    if (index <= this.#highestSent) return;
    this.#highestSent = index;
    this.#timed ??= { index, at: now };
  }

  acknowledged(match: LogIndex, now: number): void {
    if (this.#timed === null || match < this.#timed.index) return;
    const sample = now - this.#timed.at;
    this.#timed = null;
    if (this.#mean === null) {
      this.#mean = sample;
      this.#deviation = sample / 2;
      return;
    }
    this.#deviation += (Math.abs(sample - this.#mean) - this.#deviation) / 4;
    this.#mean += (sample - this.#mean) / 8;
  }

  /** Something is about to be sent again. */
  lost(): void {
    this.#timed = null;
  }
}
