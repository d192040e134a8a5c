/**
 * Real processes on real disks and sockets, under loss, kills, stops and partitions, with clients that write down what
 * they saw. Afterwards: the history is linearizable, nothing that was acknowledged is lost, and all members hold the same.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyValueModel } from '../../raft/sim/key-value-model.ts';
import { checkLinearizable } from '../../raft/sim/linearize.ts';
import { Random } from '../../raft/sim/random.ts';
import { Cluster } from './cluster.ts';
import { Nemesis } from './nemesis.ts';
import { Operator } from './operator.ts';

const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const RUN_MS = LONG ? 150_000 : 14_000;
const CLIENTS = 6;
const SEED = Number(process.env['TSFLANNEL_TEST_SEED'] ?? randomInt(2 ** 31));

describe(`real members, TSFLANNEL_TEST_SEED=${SEED}`, () => {
  it.each([
    { lossPercent: 1, voters: 3 },
    { lossPercent: 5, voters: 5 },
    { lossPercent: 20, voters: 3 },
  ])('$voters voters, $lossPercent % loss', async (options) => {
    const random = new Random(SEED + options.lossPercent);
    await using cluster = await Cluster.create(options);
    await strike(cluster, random, async () => cluster.ids);
  });

  it('5 % loss, and members that come, vote, lead and go', async () => {
    const random = new Random(SEED);
    await using cluster = await Cluster.create({ lossPercent: 5, voters: 3, others: 2 });
    const operator = new Operator(cluster, random.fork());
    await strike(cluster, random, async (signal) => {
      const changes = operator.change([
        { voters: [1, 2, 3], learners: [4] },
        { voters: [1, 2, 3, 4], learners: [5] },
        { voters: [2, 3, 4], learners: [5] },
        { voters: [3, 4, 5], learners: [] },
      ]);
      await Promise.all([changes, operator.handOverNowAndThen(signal)]);
      await operator.handOver();
      return [3, 4, 5];
    });
  });
});

/** Everything at once for a while; `operate` tells who is a member in the end. Then the verdict. */
async function strike(
  cluster: Cluster,
  random: Random,
  operate: (signal: AbortSignal) => Promise<readonly number[]>,
): Promise<void> {
  const nemesis = new Nemesis(cluster, random.fork());
  const clients = cluster.clients(random.fork());
  const signal = AbortSignal.timeout(RUN_MS);
  const operated = operate(signal);
  await Promise.all([clients.run(CLIENTS, signal), nemesis.run(signal)]);
  await cluster.heal();
  const members = await operated;
  await cluster.settled(members);
  await clients.readAll();
  await cluster.settled(members);

  const { history, counts } = clients;
  const verdict = checkLinearizable(keyValueModel, history);
  expect(verdict, nemesis.log.join('\n')).toMatchObject({ kind: 'linearizable' });
  for (const { key, answered, asked } of counts) {
    const final = history.findLast(({ client, op }) => client === 'reader' && op.key === key)?.returned
      ?.result;
    expect(final ?? 0, key).toBeGreaterThanOrEqual(answered);
    expect(final ?? 0, key).toBeLessThanOrEqual(asked);
  }
  expect(cluster.failures()).toEqual([]);
  // It was hard for them, and yet every client got something done.
  for (const kind of ['kill', 'pause'] as const) expect(nemesis.counts.get(kind), kind).toBeGreaterThan(1);
  for (const { key, answered } of counts) expect(answered, key).toBeGreaterThan(0);
}
