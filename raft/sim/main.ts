/**
 * The simulator's command line:
 *
 *     node dist/raft/sim/main.js --seed 17                                   one seed, with a readable trace
 *     node dist/raft/sim/main.js --seed-base 1 --seeds 500 --ticks 2000      a range
 *
 * `--json` prints one document with `seeds`, `steps`, `violations`, `faults` and `wallMs`. Exits with 1 when a rule was
 * broken.
 */
import { parseArgs } from 'node:util';
import { type SimulationResult, simulate } from './run.ts';

interface Report {
  readonly seeds: number;
  readonly steps: number;
  readonly committed: number;
  readonly violations: readonly (SimulationResult['violation'] & { readonly seed: number })[];
  readonly faults: Readonly<Record<string, number>>;
  readonly wallMs: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function wholeNumber(name: string, text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n)) {
    process.stderr.write(`--${name} must be a whole number, not "${text}"\n`);
    process.exit(2);
  }
  return n;
}

/** Runs the seeds one after the other and adds them up. */
function runRange(base: number, seeds: number, ticks: number, onTrace?: (line: string) => void): Report {
  const startedAt = performance.now();
  const violations: Report['violations'][number][] = [];
  const faults: Record<string, number> = {};
  let steps = 0;
  let committed = 0;
  for (let seed = base; seed < base + seeds; seed++) {
    const result = simulate({ seed, ticks, ...(onTrace && { onTrace }) });
    steps += result.steps;
    committed += result.committed;
    for (const [kind, count] of Object.entries(result.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    if (result.violation !== null) violations.push({ seed, ...result.violation });
    if (onTrace !== undefined) print(`trace hash ${result.traceHash}`);
  }
  return { seeds, steps, committed, violations, faults, wallMs: Math.round(performance.now() - startedAt) };
}

function show(report: Report): void {
  const { seeds, steps, committed, violations, faults, wallMs } = report;
  print(`${seeds} seeds, ${steps} steps, ${committed} entries committed, ${wallMs} ms`);
  print(
    Object.entries(faults)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', '),
  );
  for (const { seed, time, message } of violations) print(`seed ${seed} at ${time} ms: ${message}`);
  print(`${violations.length} violations`);
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    'seed-base': { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    ticks: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
});
const ticks = wholeNumber('ticks', values.ticks);
const report =
  values.seed === undefined
    ? runRange(wholeNumber('seed-base', values['seed-base']), wholeNumber('seeds', values.seeds), ticks)
    : runRange(wholeNumber('seed', values.seed), 1, ticks, values.json ? undefined : print);
if (values.json) print(JSON.stringify(report));
else show(report);
process.exitCode = report.violations.length === 0 ? 0 : 1;
