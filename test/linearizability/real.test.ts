/**
 * Real processes on real disks and sockets, under loss, kills, stops and partitions, with clients that write down what
 * they saw. Afterwards: the history is linearizable, nothing that was acknowledged is lost, and all members hold the same.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Random } from '../../raft/sim/random.ts';
import type { History } from './clients.ts';
import { Cluster } from './cluster.ts';
import { Nemesis } from './nemesis.ts';
import { Operator } from './operator.ts';
import { verdictOn } from './verdict.ts';

const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const RUN_MS = LONG ? 150_000 : 14_000;
const WRITERS = 5;
const READERS = 4;
const SEED = Number(process.env['TSFLANNEL_TEST_SEED'] ?? randomInt(2 ** 31));

it('a leader that was stopped and cut off answers no read from what it holds', async () => {
  await using cluster = await Cluster.create({ voters: 3 });
  const clients = cluster.clients(new Random(1));
  await clients.certainly('a', { kind: 'put', key: 'x', value: 1 });
  const leader = await cluster.settled(cluster.ids);
  await cluster.cut((from, to) => from === leader || to === leader);
  cluster.pause(leader);
  const others = cluster.ids.filter((id) => id !== leader);
  await clients.of(...others).certainly('a', { kind: 'put', key: 'x', value: 2 });
  // The question waits for it; when it goes on, it still believes to lead.
  const once = new AbortController();
  const read = clients.of(leader).perform('b', { kind: 'get', key: 'x' }, once.signal);
  once.abort();
  cluster.resume(leader);
  await read;
  expect(verdictOn(clients.history)).toBe('linearizable');
});

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
  await Promise.all([clients.run(WRITERS, READERS, signal), nemesis.run(signal)]);
  await cluster.heal();
  const members = await operated;
  await cluster.settled(members);
  await clients.readAll();
  await cluster.settled(members);

  const { history } = clients;
  expect(verdictOn(history), nemesis.log.join('\n')).toBe('linearizable');
  for (let n = 0; n < WRITERS; n++) expectCounted(history, `w${n}`);
  expect(cluster.failures()).toEqual([]);
  // It was hard for them, and yet something was done.
  for (const kind of ['kill', 'pause'] as const)
    expect(nemesis.counts.get(kind) ?? 0, kind).toBeGreaterThan(0);
  expect(history.some(({ client, returned }) => client !== 'reader' && returned !== null)).toBe(true);
}

/** What the client was told of its counter is there; what it was not told may be. */
function expectCounted(history: History, client: string): void {
  const key = `count/${client}`;
  const final = history.findLast((operation) => operation.client === 'reader' && operation.op.key === key);
  const adds = history.filter(({ op }) => op.kind === 'add' && op.key === key);
  const answered = adds.filter(({ returned }) => returned !== null).length;
  const counted = final?.returned?.result ?? 0;
  expect(counted, key).toBeGreaterThanOrEqual(answered);
  expect(counted, key).toBeLessThanOrEqual(adds.length);
}
