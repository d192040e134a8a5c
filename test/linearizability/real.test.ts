/**
 * Real processes on real disks and sockets, under loss, kills, stops and partitions, with clients that write down what
 * they saw. Afterwards: the history is linearizable, nothing that was acknowledged is lost, and all members hold the same.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyValueModel } from '../../raft/sim/key-value-model.ts';
import { checkLinearizable } from '../../raft/sim/linearize.ts';
import { Random } from '../../raft/sim/random.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';
import { Nemesis } from './nemesis.ts';

const IS_LONG = process.env['TSFLANNEL_TEST_LONG'] !== undefined;
const RUN_MS = IS_LONG ? 200_000 : 17_000;
const CLIENTS = 6;
const SEED = Number(process.env['TSFLANNEL_TEST_SEED'] ?? randomInt(2 ** 31));

describe(`real members, TSFLANNEL_TEST_SEED=${SEED}`, () => {
  it.each([
    { lossPercent: 1, voters: 3 },
    { lossPercent: 5, voters: 5 },
    { lossPercent: 20, voters: 3 },
  ])('$voters voters, $lossPercent % loss', { timeout: RUN_MS + 300_000 }, async (options) => {
    const random = new Random(SEED + options.lossPercent);
    await using cluster = await Cluster.create(options);
    const nemesis = new Nemesis(cluster, random.fork());
    const clients = new Clients(cluster.ids, (id, op) => cluster.operate(id, op), random.fork());
    const signal = AbortSignal.timeout(RUN_MS);
    await Promise.all([clients.run(CLIENTS, signal), nemesis.run(signal)]);
    await cluster.heal();
    await cluster.settled(cluster.ids);
    await clients.readAll();
    await cluster.settled(cluster.ids);

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
    for (const strike of ['kill', 'pause'] as const)
      expect(nemesis.counts.get(strike), strike).toBeGreaterThan(1);
    for (const { key, answered } of counts) expect(answered, key).toBeGreaterThan(0);
  });
});
