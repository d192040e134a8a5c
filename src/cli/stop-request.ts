/**
 * SIGTERM and SIGINT as a request to stop, made once: what is to be done about it runs when it comes, or at once when it
 * has come already. 5 s after the first signal, or at a second one, the time is over.
 */
import { EXIT, type ExitCode, refuse, TsflannelError } from '../errors.ts';

/** Less than the 5 s that users are promised, by what leaving the process takes. */
const STOP_MS_MAX = 4_500;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

export class StopRequest {
  /** Rejects when stopping took too long; the caller then leaves the process with what is unfinished. */
  readonly overdue: Promise<ExitCode>;
  readonly #listener = (): void => this.#onSignal();
  #requested = false;
  #react: (() => Promise<void>) | undefined;
  #giveUp: (error: unknown) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    this.overdue = new Promise((_, reject) => {
      this.#giveUp = reject;
    });
    this.overdue.catch(() => undefined); // it may come when nobody waits any more
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  get requested(): boolean {
    return this.#requested;
  }

  /** Takes the place of what was said before. An error of `react` ends the waiting as well. */
  whenRequested(react: () => Promise<void>): void {
    this.#react = react;
    if (this.#requested) this.#run();
  }

  release(): void {
    clearTimeout(this.#timer);
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }

  #onSignal(): void {
    if (this.#requested) {
      this.#giveUp(tooSlow('a second signal came'));
      return;
    }
    this.#requested = true;
    this.#timer = setTimeout(() => this.#giveUp(tooSlow('it took 5 s')), STOP_MS_MAX);
    this.#run();
  }

  #run(): void {
    this.#react?.().catch(this.#giveUp);
  }
}

function tooSlow(why: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'stop-overdue',
      EXIT.failed,
      `The agent was ended before it had stopped in order: ${why}.`,
      'Nothing is lost: the next start goes on from the disk. The log says what it was doing.',
    ),
  );
}
