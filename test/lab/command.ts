/**
 * Programs the lab runs: one that ends (`run`) and one that stays (`Program`). Both are bounded in time and in the
 * output they keep, and neither fails without saying what was run and what it printed last.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const RUN_TIMEOUT_MS = 60_000;
const LINES_MAX = 20_000;

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export interface RunResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves with any exit code; rejects only when the program cannot be started or outlives its time. */
export async function tryRun(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const program = new Program(argv, options);
  const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
  let timer: NodeJS.Timeout | undefined;
  // Not the end of the process but of its output counts; something it left in the background may hold that open.
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      program.kill('SIGKILL');
      reject(new Error(`${argv.join(' ')}: not done after ${timeoutMs} ms${program.tail()}`));
    }, timeoutMs);
  });
  const code = await Promise.race([program.exited, tooLate]).finally(() => clearTimeout(timer));
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** Resolves with what was printed; rejects on any exit code but 0. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await tryRun(argv, options);
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit ${code}\n${stdout}${stderr}`.trimEnd());
  return stdout;
}

/** A running program whose output is kept line by line and can be awaited. */
export class Program {
  readonly argv: readonly string[];
  /** The exit code, null after a signal. Rejects when it could not be started. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #lines: { readonly from: 'stdout' | 'stderr'; readonly text: string }[] = [];
  readonly #watchers = new Set<() => void>();
  #running = true;

  constructor(argv: readonly string[], options: RunOptions = {}) {
    const [file = '', ...args] = argv;
    this.argv = argv;
    this.#child = spawn(file, args, {
      env: { ...process.env, ...options.env },
      cwd: options.cwd,
      stdio: 'pipe',
    });
    const { stdin, stdout, stderr } = this.#child;
    // A program that does not read its input closes the pipe; its exit code tells the rest.
    stdin?.on('error', () => undefined);
    stdin?.end(options.input ?? '');
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', (cause) =>
        reject(new Error(`${argv.join(' ')}: ${cause.message}`, { cause })),
      );
      this.#child.once('close', resolve);
    });
    const ended = (): void => {
      this.#running = false;
      this.#wake();
    };
    this.exited.then(ended, ended);
    if (stdout !== null) createInterface({ input: stdout }).on('line', (text) => this.#keep('stdout', text));
    if (stderr !== null) createInterface({ input: stderr }).on('line', (text) => this.#keep('stderr', text));
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`${this.argv.join(' ')}: never started`);
    return pid;
  }

  get running(): boolean {
    return this.#running;
  }

  get killedBy(): NodeJS.Signals | null {
    return this.#child.signalCode;
  }

  get stdout(): string {
    return this.#text('stdout');
  }

  get stderr(): string {
    return this.#text('stderr');
  }

  /** Sends a signal; nothing happens when it has already ended. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#running) this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.kill(signal);
    return this.exited;
  }

  /** The first line that matches, printed already or yet to come. Rejects when the program ends without it. */
  async line(pattern: RegExp, timeoutMs: number = RUN_TIMEOUT_MS): Promise<string> {
    return this.until(
      () => this.#lines.find(({ text }) => pattern.test(text))?.text,
      `a line like ${pattern}`,
      timeoutMs,
    );
  }

  /** Asks again after every line and at the end; resolves with the first answer that is not undefined. */
  until<T>(ask: () => T | undefined, what: string, timeoutMs: number = RUN_TIMEOUT_MS): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle();
      };
      const fail = (why: string): void =>
        finish(() => reject(new Error(`${this.argv.join(' ')}: ${why} before ${what}${this.tail()}`)));
      const look = (): void => {
        const answer = ask();
        if (answer !== undefined) finish(() => resolve(answer));
        else if (!this.#running) fail(`ended with ${this.killedBy ?? this.#child.exitCode}`);
      };
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** The last lines, for the message of a failure. */
  tail(count = 30): string {
    const lines = this.#lines.slice(-count).map(({ text }) => `    ${text}`);
    return lines.length === 0 ? ' (it printed nothing)' : `\n${lines.join('\n')}`;
  }

  #keep(from: 'stdout' | 'stderr', text: string): void {
    this.#lines.push({ from, text });
    if (this.#lines.length > LINES_MAX) this.#lines.splice(0, LINES_MAX / 2);
    this.#wake();
  }

  #wake(): void {
    for (const look of [...this.#watchers]) look();
  }

  #text(from: 'stdout' | 'stderr'): string {
    return this.#lines
      .filter((line) => line.from === from)
      .map(({ text }) => `${text}\n`)
      .join('');
  }
}
