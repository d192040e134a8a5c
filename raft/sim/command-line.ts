/**
 * The simulator's command line, for a program that brings its own state machine:
 *
 *     --seed 17 [--ticks 2000]                          one seed, with a readable trace
 *     --seed-base 1 --seeds 500 [--ticks 2000]          a range, on all cores
 *
 * `--json` prints one document with `seeds`, `steps`, `violations`, `faults`, `wallMs`. The exit code is 1 when a rule was
 * broken. The seeds of a range are independent of each other: each worker thread takes the next one when it is done.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Report, ReportBuilder } from './report.ts';
import { type SimulationOptions, type SimulationResult, simulate } from './run.ts';

/** What a seed runs, beside the seed and its length. Made anew for each seed: it may gather things during the run. */
export type Workload = Omit<SimulationOptions, 'seed' | 'ticks' | 'onTrace'>;

interface Range {
  readonly base: number;
  readonly seeds: number;
  readonly ticks: number;
}

/**
 * The whole program: `await runSimulator(import.meta.url, workloadOf)` is all that its file has to do, because that file
 * is loaded again in every worker thread. Sets the exit code.
 */
export async function runSimulator(
  entry: string,
  workloadOf: (seed: number) => Workload = () => ({}),
): Promise<void> {
  if (isMainThread) await main(entry, workloadOf);
  else serve(workloadOf, workerData.ticks);
}

function serve(workloadOf: (seed: number) => Workload, ticks: number): void {
  parentPort?.on('message', (seed: number) => {
    parentPort?.postMessage(simulate({ ...workloadOf(seed), seed, ticks }));
  });
}

async function main(entry: string, workloadOf: (seed: number) => Workload): Promise<void> {
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
      ? await runRange(entry, {
          base: wholeNumber('seed-base', values['seed-base']),
          seeds: wholeNumber('seeds', values.seeds),
          ticks,
        })
      : runOne(workloadOf, wholeNumber('seed', values.seed), ticks, !values.json);
  if (values.json) print(JSON.stringify(report));
  else show(report);
  process.exitCode = report.violations.length === 0 ? 0 : 1;
}

function runOne(
  workloadOf: (seed: number) => Workload,
  seed: number,
  ticks: number,
  traced: boolean,
): Report {
  const startedAt = performance.now();
  const builder = new ReportBuilder();
  builder.add(simulate({ ...workloadOf(seed), seed, ticks, ...(traced && { onTrace: print }) }));
  return builder.finish(performance.now() - startedAt);
}

async function runRange(entry: string, { base, seeds, ticks }: Range): Promise<Report> {
  const startedAt = performance.now();
  const builder = new ReportBuilder();
  let next = base;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL(entry), { workerData: { ticks } });
    while (next < base + seeds) {
      worker.postMessage(next++);
      const [result] = (await once(worker, 'message')) as [SimulationResult];
      builder.add(result);
    }
    await worker.terminate();
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), seeds) }, work));
  return builder.finish(performance.now() - startedAt);
}

function show(report: Report): void {
  const { seeds, steps, committed, violations, faults, traceHash, wallMs } = report;
  print(
    `${seeds} seeds, ${steps} steps, ${committed} entries committed, ${wallMs} ms, trace hash ${traceHash}`,
  );
  print(
    Object.entries(faults)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', '),
  );
  for (const { seed, time, message } of violations) print(`seed ${seed} at ${time} ms: ${message}`);
  print(`${violations.length} violations`);
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
