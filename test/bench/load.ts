/** Clients that each wait for one answer before they ask again, and how long the answers took. */
import { round } from './statistics.ts';

export interface LoadOptions {
  readonly inFlight: number;
  /** Not measured: the code is compiled and the windows are open afterwards. */
  readonly warmUpMs: number;
  readonly durationMs: number;
}

export interface LoadFigures {
  readonly inFlight: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Answers that were none: busy, lost, no leader. */
  readonly refused: number;
}

/** `ask` resolves with whether it was carried out. */
export async function load(options: LoadOptions, ask: () => Promise<boolean>): Promise<LoadFigures> {
  const { inFlight, warmUpMs, durationMs } = options;
  const begins = performance.now() + warmUpMs;
  const ends = begins + durationMs;
  const latencies: number[] = [];
  let refused = 0;
  const client = async (): Promise<void> => {
    for (let asked = performance.now(); asked < ends; ) {
      const done = await ask();
      const answered = performance.now();
      if (answered >= begins && answered < ends) {
        if (done) latencies.push(answered - asked);
        else refused += 1;
      }
      asked = answered;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, client));
  const sorted = Float64Array.from(latencies).sort();
  const at = (quantile: number): number => {
    return round(sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN);
  };
  const perSecond = Math.round((sorted.length / durationMs) * 1000);
  return { inFlight, perSecond, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), refused };
}

/** The run with the median rate. */
export function medianRun(runs: readonly LoadFigures[]): LoadFigures {
  const sorted = runs.toSorted((a, b) => a.perSecond - b.perSecond);
  const median = sorted[Math.floor(sorted.length / 2)];
  if (median === undefined) throw new Error('no runs');
  return median;
}
