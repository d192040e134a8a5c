/**
 * When to dial one peer: at most one timer or one attempt at a time, with a backoff that doubles up to
 * DIAL_BACKOFF_MS_MAX and is spread, so that a restarted host is not called by everybody in the same instant.
 */
import { randomInt } from 'node:crypto';
import { DIAL_BACKOFF_MS_MAX, DIAL_BACKOFF_MS_MIN } from '../limits.ts';

export interface DiallerOptions {
  /** Asked when the time has come: meanwhile the other side may have dialled. */
  readonly isNeeded: () => boolean;
  /** Opens a session or rejects with a TransportError. `attempt` counts up, to try one address after the other. */
  readonly dial: (attempt: number, signal: AbortSignal) => Promise<void>;
  readonly onFailure: (error: unknown) => void;
}

export class Dialler {
  readonly #options: DiallerOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #attempt: Promise<void> | null = null;
  #attempts = 0;
  /** Since the last session that held. */
  #failures = 0;

  constructor(options: DiallerOptions) {
    this.#options = options;
  }

  /** After `delayMs` or the backoff, whichever is longer; no-op while a timer or an attempt is under way. */
  start(delayMs: number): void {
    if (this.#timer !== null || this.#attempt !== null || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        if (this.#options.isNeeded()) this.now().catch(() => undefined); // onFailure has it
      },
      Math.max(delayMs, this.#backoffMs()),
    );
  }

  /** Somebody waits for it: no delay and no backoff. Settles with the attempt that is under way then. */
  now(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#attempt ??= this.#dial();
    return this.#attempt;
  }

  /** A session that ends at once is a failure, however it began. */
  lost(livedMs: number): void {
    this.#failures = livedMs > DIAL_BACKOFF_MS_MAX ? 0 : this.#failures + 1;
  }

  stop(): void {
    this.#stop.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #dial(): Promise<void> {
    try {
      await this.#options.dial(this.#attempts++, this.#stop.signal);
      this.#attempt = null;
    } catch (error) {
      this.#attempt = null;
      this.#failures += 1;
      if (!this.#stop.signal.aborted) this.#options.onFailure(error);
      this.start(0);
      throw error;
    }
  }

  #backoffMs(): number {
    if (this.#failures === 0) return 0;
    const ceiling = Math.min(DIAL_BACKOFF_MS_MAX, DIAL_BACKOFF_MS_MIN * 2 ** Math.min(this.#failures, 16));
    return randomInt(ceiling / 2, ceiling);
  }
}
