/**
 * The only place that prints. Results go to standard output: text for people, or with --json exactly one document.
 * Failures and remarks go to standard error; with --json a failure is the document, so that a script has one place to
 * look. Colours on a terminal only, and not where NO_COLOR is set.
 */
import type { ExitCode, Refusal } from '../errors.ts';
import { TsflannelError } from '../errors.ts';
import type { Environment } from './given.ts';

export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** What a command has to say, in both forms. */
export interface Report {
  readonly document: unknown;
  readonly text: string;
}

export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  faint(text: string): string;
  strong(text: string): string;
}

export interface OutputOptions {
  readonly json: boolean;
  /** Show where an error came from. */
  readonly stacks: boolean;
}

export class Output {
  readonly json: boolean;
  readonly paint: Paint;
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  readonly #stacks: boolean;

  constructor(stdout: Sink, stderr: Sink, environment: Environment, options: OutputOptions) {
    this.json = options.json;
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#stacks = options.stacks;
    this.paint = paintFor(hasColours(stdout, environment));
  }

  get isTerminal(): boolean {
    return this.#stdout.isTTY === true;
  }

  report(report: Report): void {
    this.#stdout.write(
      this.json ? `${JSON.stringify(report.document, null, 2)}\n` : ensureNewline(report.text),
    );
  }

  /** One of a series (`--watch`): a line each; on a terminal the next one takes the place of the last. */
  next(report: Report): void {
    if (this.json) this.#stdout.write(`${JSON.stringify(report.document)}\n`);
    else this.#stdout.write(`${this.isTerminal ? '\u001b[H\u001b[2J' : ''}${ensureNewline(report.text)}`);
  }

  /** For people: never part of the result. */
  remark(text: string): void {
    this.#stderr.write(ensureNewline(text));
  }

  /** Gives back the exit code. */
  failure(error: unknown): ExitCode {
    const refusal = refusalOf(error);
    if (this.json) this.#stdout.write(`${JSON.stringify(failureDocument(refusal))}\n`);
    else this.#stderr.write(`tsflannel: ${refusal.text}\n${refusal.fix === '' ? '' : `${refusal.fix}\n`}`);
    if (this.#stacks && error instanceof Error) this.#stderr.write(`${stackOf(error)}\n`);
    return refusal.exitCode;
  }
}

export function failureDocument({ code, exitCode, text, fix }: Refusal): { readonly error: Refusal } {
  return { error: { code, exitCode, text, fix } };
}

/** What is no refusal is a fault of ours or of the system: its message is the sentence. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof TsflannelError) return error.refusal;
  const reason = error instanceof Error ? error.message : String(error);
  return {
    code: 'internal',
    exitCode: 1,
    text: `It failed unexpectedly: ${reason.replace(/\.?(\n.*)?$/s, '')}.`,
    fix: 'Run it again with --log-level debug to see where, and please report it.',
  };
}

export function hasColours(sink: Sink, environment: Environment): boolean {
  const forbidden = environment['NO_COLOR'] ?? '';
  return sink.isTTY === true && forbidden === '' && environment['TERM'] !== 'dumb';
}

function stackOf(error: Error): string {
  const stack = error.stack ?? String(error);
  return error.cause instanceof Error ? `${stack}\ncaused by ${stackOf(error.cause)}` : stack;
}

function ensureNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function paintFor(colours: boolean): Paint {
  const paint = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { good: paint(32), bad: paint(31), warn: paint(33), faint: paint(90), strong: paint(1) };
}
