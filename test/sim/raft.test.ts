/**
 * The core under every fault that the simulator knows. A seed that fails here is replayed, with a readable trace, by
 * `npm run sim -- --seed <seed> --ticks <ticks>`.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { CommandEntry } from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import type { Report } from '../../raft/sim/report.ts';
import { simulate } from '../../raft/sim/run.ts';
import { FAULTS } from '../../raft/sim/swarm.ts';

/** `npm run test:long`. */
const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const SEEDS = LONG ? 20_000 : 2_000;
const TICKS = LONG ? 5_000 : 2_000;
const RANGE_TIMEOUT_MS = (LONG ? 180 : 15) * 60_000;

const program = fileURLToPath(new URL('../../dist/test/sim/main.js', import.meta.url));

const CRASH_EFFECTS = ['write-lost', 'write-torn', 'write-unconfirmed'];

/** As `npm run sim -- --seed-base 1 ...`, on all cores. Fails with the document when a rule was broken. */
async function runRange(seeds: number, ticks: number): Promise<Report> {
  const words = ['--seed-base', '1', '--seeds', `${seeds}`, '--ticks', `${ticks}`, '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words]);
  return JSON.parse(stdout);
}

it(
  `keeps every rule over ${SEEDS} seeds of ${TICKS} ticks, and every kind of fault really happens`,
  async () => {
    const { seeds, steps, committed, violations, faults } = await runRange(SEEDS, TICKS);
    expect(violations).toEqual([]);
    expect(seeds).toBe(SEEDS);
    expect(steps).toBeGreaterThan(10_000 * SEEDS);
    expect(committed).toBeGreaterThan(500 * SEEDS);
    for (const kind of [...FAULTS, ...CRASH_EFFECTS, 'dropped', 'duplicated', 'slow', 'cut']) {
      expect(faults[kind], kind).toBeGreaterThanOrEqual(1_000);
    }
  },
  RANGE_TIMEOUT_MS,
);

/** Renewed with `vitest -u` where the core has changed its mind; never for another version of Node. */
it('gives the same traces on every version of Node', async () => {
  const { traceHash } = await runRange(20, 300);
  await expect(`${traceHash}\n`).toMatchFileSnapshot('trace-hash.txt');
});

it('repeats a seed exactly, and no other seed is like it', () => {
  const hashes = Array.from({ length: 12 }, (_, seed) => {
    const [first, again] = [simulate({ seed, ticks: 200 }), simulate({ seed, ticks: 200 })];
    expect(again).toEqual(first);
    return first.traceHash;
  });
  expect(new Set(hashes).size).toBe(hashes.length);
});

it('runs the state machine of its caller', () => {
  /** Remembers every command, so that its snapshots grow and are sent. */
  class Journal implements StateMachine<number> {
    #commands: string[] = [];

    apply({ payload }: CommandEntry): number {
      return this.#commands.push(Buffer.from(payload).toString());
    }

    snapshot(): Iterable<Uint8Array> {
      return [Buffer.from(JSON.stringify(this.#commands))];
    }

    restore(data: Uint8Array): void {
      this.#commands = JSON.parse(Buffer.from(data).toString());
    }

    get digest(): string {
      return createHash('sha256')
        .update(Buffer.concat([...this.snapshot()]))
        .digest('hex');
    }
  }
  const machines: Journal[] = [];
  const result = simulate({
    seed: 5,
    ticks: 400,
    machine: () => {
      const machine = new Journal();
      machines.push(machine);
      return machine;
    },
    command: (random, count) => Buffer.from(`${count}:${random.integer(0, 9)}`),
  });
  expect(result.violation).toBeNull();
  expect(result.committed).toBeGreaterThan(10);
  // Those that live to the end have seen the same commands.
  const digests = machines.map((machine) => machine.digest);
  expect(new Set(digests).size).toBeLessThan(digests.length);
});
