/** A running member as the harness holds it: questions and answers by number, signals, and how it ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Numbered, Request } from './protocol.ts';

const STDERR_LINES_MAX = 40;

export class MemberProcess {
  /** When it is gone, however that came about. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  /** Who waits for an answer, by the number of the question. */
  readonly #waiting = new Map<number, (body: unknown) => void>();
  readonly #stderr: string[] = [];
  #number = 0;
  #isKilled = false;
  #isGone = false;

  constructor(argv: readonly string[]) {
    const [program = '', ...args] = argv;
    this.#child = spawn(program, args, { stdio: 'pipe' });
    const { stdin, stdout, stderr } = this.#child;
    // It may be killed while it is being asked.
    stdin?.on('error', () => undefined);
    if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => this.#answered(line));
    if (stderr !== null)
      createInterface({ input: stderr }).on('line', (line) => {
        this.#stderr.push(line);
        if (this.#stderr.length > STDERR_LINES_MAX) this.#stderr.shift();
      });
    this.exited = new Promise((resolve) => {
      this.#child.once('close', () => {
        this.#isGone = true;
        for (const settle of this.#waiting.values()) settle(null);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** What it printed when it ended by itself, which no member should; null otherwise. */
  get failure(): string | null {
    return this.#isGone && !this.#isKilled ? this.#stderr.join('\n') || 'it ended without a word' : null;
  }

  /** Null when it ended before it answered, or did not answer in time: it may still do what it was asked. */
  ask<T>(body: Request, timeoutMs: number): Promise<T | null> {
    return new Promise((resolve) => {
      if (this.#isGone) {
        resolve(null);
        return;
      }
      const number = this.#number++;
      const settle = (answer: unknown): void => {
        clearTimeout(timer);
        this.#waiting.delete(number);
        resolve(answer as T | null);
      };
      const timer = setTimeout(() => settle(null), timeoutMs);
      this.#waiting.set(number, settle);
      const line: Numbered<Request> = { number, body };
      this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
    });
  }

  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** A stopped process dies of it, too. */
  async kill(): Promise<void> {
    this.#isKilled = true;
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #answered(line: string): void {
    const { number, body }: Numbered<unknown> = JSON.parse(line);
    this.#waiting.get(number)?.(body);
  }
}
