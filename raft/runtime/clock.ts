/**
 * Time for the core: monotonic milliseconds, never the wall clock, and one timer for the next deadline. After the event
 * loop stood still (a suspended machine, a long collection), timers fire before sockets are read; the deadline is
 * therefore announced one turn later, when what has arrived meanwhile was heard. A leader's heartbeat that waits in the
 * socket must not lose against the election timeout that it prevents.
 */

export function monotonicMs(): number {
  return performance.now();
}

/** What a 32-bit timer holds, with room to spare: a longer wait is made of several. */
const TIMER_MS_MAX = 2 ** 30;

export class DeadlineTimer {
  readonly #onDeadline: () => void;
  #timer: NodeJS.Timeout | null = null;
  #firesAtMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  /** `onDeadline` may come before the deadline that holds by then: whoever is called looks again, and sets again. */
  constructor(onDeadline: () => void) {
    this.#onDeadline = onDeadline;
  }

  /** A timer that fires earlier stays: deadlines move on with each message, and most of them never come. */
  set(deadlineMs: number): void {
    if (this.#isClosed || deadlineMs >= this.#firesAtMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const nowMs = monotonicMs();
    const delayMs = Math.min(Math.max(Math.ceil(deadlineMs - nowMs), 0), TIMER_MS_MAX);
    this.#firesAtMs = nowMs + delayMs;
    this.#timer = setTimeout(() => setImmediate(() => this.#fire()), delayMs);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #fire(): void {
    this.#timer = null;
    this.#firesAtMs = Number.POSITIVE_INFINITY;
    if (!this.#isClosed) this.#onDeadline();
  }
}
