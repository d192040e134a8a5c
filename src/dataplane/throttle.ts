/** A token bucket: so many at once, so many a second. The clock is the caller's. Pure. */
export class Throttle {
  readonly #capacity: number;
  readonly #perSecond: number;
  #tokens: number;
  #filledAtMs = 0;

  constructor(capacity: number, perSecond: number) {
    this.#capacity = capacity;
    this.#perSecond = perSecond;
    this.#tokens = capacity;
  }

  /** Takes a token, if need be one of the future, and says in how many milliseconds it may be used. */
  take(nowMs: number): number {
    const earned = ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#capacity, this.#tokens + Math.max(0, earned)) - 1;
    this.#filledAtMs = nowMs;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1000);
  }
}
