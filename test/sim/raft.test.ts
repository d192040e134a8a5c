/**
 * The core under every fault that the simulator knows. A seed that fails here is replayed, with a readable trace, by
 * `node dist/raft/sim/main.js --seed <seed> --ticks <ticks>`.
 */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { CommandEntry } from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import { simulate } from '../../raft/sim/run.ts';
import { FAULTS } from '../../raft/sim/swarm.ts';

const SEEDS = 300;
const TICKS = 600;

it(`keeps every rule over ${SEEDS} seeds, and every kind of fault really happens`, () => {
  const happened: Record<string, number> = {};
  const violations: string[] = [];
  let committed = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = simulate({ seed, ticks: TICKS });
    committed += result.committed;
    for (const [kind, count] of Object.entries(result.faults)) happened[kind] = (happened[kind] ?? 0) + count;
    if (result.violation !== null)
      violations.push(`--seed ${seed} --ticks ${TICKS}: ${result.violation.message}`);
  }
  expect(violations).toEqual([]);
  expect(committed).toBeGreaterThan(100 * SEEDS);
  for (const kind of [...FAULTS, 'dropped', 'duplicated', 'slow', 'cut']) {
    expect(happened[kind], kind).toBeGreaterThan(100);
  }
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
