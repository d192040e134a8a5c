/**
 * Looks at the surroundings now and then, and has the warnings ready for status. The first look is when the data plane
 * is ready: before that much is not yet as it will be. One look at a time; it never changes anything.
 */
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { checkSurroundings } from './checks.ts';
import { HostFiles } from './files.ts';
import { readSurroundings, type Wanted } from './surroundings.ts';

/** A look reads some thirty small files. */
const LOOK_MS = 30_000;

export interface SurroundingsWatchOptions {
  /** Null while nothing is wanted: no lease yet, or a backend that sets up nothing. */
  readonly wanted: () => Wanted | null;
  readonly log: Log;
  readonly files?: HostFiles;
}

export class SurroundingsWatch implements AsyncDisposable {
  readonly #options: SurroundingsWatchOptions;
  readonly #files: HostFiles;
  #problems: readonly Problem[] = [];
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #isStarted = false;
  #isClosed = false;

  constructor(options: SurroundingsWatchOptions) {
    this.#options = options;
    this.#files = options.files ?? new HostFiles();
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** Idempotent. */
  start(): void {
    if (this.#isStarted || this.#isClosed) return;
    this.#isStarted = true;
    this.#running = this.#look();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #look(): Promise<void> {
    const wanted = this.#options.wanted();
    const problems =
      wanted === null ? [] : checkSurroundings(await readSurroundings(this.#files, wanted), wanted);
    for (const { code, text, fix } of problems)
      if (!this.#problems.some((before) => before.text === text)) this.#options.log.warn(code, text, { fix });
    this.#problems = problems;
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#look();
    }, LOOK_MS);
  }
}
