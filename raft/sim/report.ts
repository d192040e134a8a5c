/** What a range of seeds comes to: sums, the broken rules by seed, and one hash over all traces in the order of seeds. */
import { createHash } from 'node:crypto';
import type { SimulationResult, Violation } from './run.ts';

export interface Report {
  readonly seeds: number;
  /** Messages, timers and confirmations that reached a core. */
  readonly steps: number;
  readonly committed: number;
  readonly violations: readonly (Violation & { readonly seed: number })[];
  /** How often each kind of fault happened. */
  readonly faults: Readonly<Record<string, number>>;
  /** Equal on every machine and every version of Node. */
  readonly traceHash: string;
  readonly wallMs: number;
}

/** Adds up results in whichever order they come. */
export class ReportBuilder {
  readonly #violations: (Violation & { seed: number })[] = [];
  readonly #faults = new Map<string, number>();
  readonly #hashes = new Map<number, string>();
  #steps = 0;
  #committed = 0;

  add({ seed, steps, committed, faults, traceHash, violation }: SimulationResult): void {
    this.#steps += steps;
    this.#committed += committed;
    for (const [kind, count] of Object.entries(faults)) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
    }
    this.#hashes.set(seed, traceHash);
    if (violation !== null) this.#violations.push({ seed, ...violation });
  }

  finish(wallMs: number): Report {
    const hash = createHash('sha256');
    for (const [seed, trace] of [...this.#hashes].sort(([a], [b]) => a - b))
      hash.update(`${seed} ${trace}\n`);
    return {
      seeds: this.#hashes.size,
      steps: this.#steps,
      committed: this.#committed,
      violations: this.#violations.toSorted((a, b) => a.seed - b.seed),
      faults: Object.fromEntries([...this.#faults].sort(([a], [b]) => (a < b ? -1 : 1))),
      traceHash: hash.digest('hex'),
      wallMs: Math.round(wallMs),
    };
  }
}
