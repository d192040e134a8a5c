/** Order statistics of a few samples. */

export interface Summary {
  readonly samples: number;
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function summary(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  // Nearest rank.
  const at = (quantile: number): number =>
    round(sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? 0);
  return { samples: sorted.length, min: at(0), p50: at(0.5), p99: at(0.99), max: at(1) };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
