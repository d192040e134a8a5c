/**
 * Writes problems that `status` shows into the log, each once when it comes and again only after it was gone. How many
 * more there are like it does not make it another one. Bounded by what is passed in.
 */
import type { Problem } from './agent-facts.ts';
import type { Log } from './log.ts';

export class ProblemLog {
  readonly #log: Log;
  #known: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  /** All there are now. */
  update(problems: readonly Problem[]): void {
    const now = new Map(problems.map((problem) => [keyOf(problem), problem]));
    for (const [key, { code, severity, text, fix }] of now)
      if (!this.#known.has(key)) this.#log[severity === 'error' ? 'error' : 'warn'](code, text, { fix });
    this.#known = new Set(now.keys());
  }
}

function keyOf({ code, text }: Problem): string {
  return `${code} ${text.replace(/ \(and \d+ more like it\)/, '')}`;
}
