/** What clients of simulated clusters see, under every fault that the simulator knows. */
import { expect, it } from 'vitest';
import type { SimulatedCluster } from '../../raft/sim/cluster.ts';
import { simulate, TICK_MS } from '../../raft/sim/run.ts';
import { encodeOp } from './key-value-machine.ts';
import { type Reading, ServingMachine, SimulatedClients } from './simulated-clients.ts';
import { verdictOn } from './verdict.ts';

const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const HISTORIES = LONG ? 5_000 : 500;
const TICKS = 300;
const CLIENTS = 8;

interface Outcome {
  readonly verdict: string;
  readonly answered: number;
}

function run(seed: number, reading: Reading): Outcome {
  let clients: SimulatedClients | undefined;
  let cluster: SimulatedCluster | undefined;
  const { violation } = simulate({
    seed,
    ticks: TICKS,
    machine: () => new ServingMachine(),
    // Not a key that the clients know: these writes are in nobody's history.
    command: (_, count) => encodeOp({ kind: 'put', key: 'simulation', value: count }),
    actors: (simulated, random) => {
      cluster = simulated;
      clients = new SimulatedClients(simulated, random, reading);
      clients.start(CLIENTS, TICKS * TICK_MS);
    },
  });
  expect(violation, `seed ${seed}`).toBeNull();
  const machine = cluster?.leader?.machine;
  if (clients === undefined || !(machine instanceof ServingMachine)) throw new Error('no leader in the end');
  clients.readAll(machine);
  const { history } = clients;
  const answered = history.filter(({ returned }) => returned !== null).length;
  return { verdict: verdictOn(history), answered };
}

it(`${HISTORIES} histories are linearizable`, () => {
  let answered = 0;
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const outcome = run(seed, 'read-index');
    expect(outcome.verdict, `seed ${seed}`).toBe('linearizable');
    answered += outcome.answered;
  }
  expect(answered).toBeGreaterThan(200 * HISTORIES);
});

it('catches leaders that answer reads without asking whether they still lead', () => {
  for (let seed = 1; seed <= HISTORIES; seed++) {
    if (run(seed, 'local').verdict.includes('is not linearizable')) return;
  }
  expect.unreachable();
});
