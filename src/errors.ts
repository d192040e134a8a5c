/**
 * What a user can meet, as values. Owns the exit codes and the shape of a refusal: one sentence that names what and
 * where, and what to do next. Expected refusals are returned or carried by TsflannelError; broken invariants are
 * assertions and never pass through here.
 */

/** The exit codes of the command line; docs/cli.md lists which refusal has which. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  degraded: 3,
  noQuorum: 4,
  noAgent: 5,
  refused: 6,
  conflict: 7,
  timeout: 8,
  unsafe: 9,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface Refusal {
  /** Stable, kebab-case, for scripts: `no-free-subnet`. */
  readonly code: string;
  readonly exitCode: ExitCode;
  /** One sentence: what, where. */
  readonly text: string;
  /** One sentence: what to do. */
  readonly fix: string;
}

export class TsflannelError extends Error {
  override readonly name = 'TsflannelError';
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(refusal.text, options);
    this.refusal = refusal;
  }
}

export function refuse(code: string, exitCode: ExitCode, text: string, fix: string): Refusal {
  return { code, exitCode, text, fix };
}
