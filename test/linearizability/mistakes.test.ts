/**
 * What real.test.ts would see if something were wrong: members with a deliberate mistake, brought into the situation in
 * which it shows.
 */
import { expect, it } from 'vitest';
import type { KeyValueOp } from '../../raft/sim/key-value-model.ts';
import { Random } from '../../raft/sim/random.ts';
import { Cluster } from './cluster.ts';
import { verdictOn } from './verdict.ts';

const GET: KeyValueOp = { kind: 'get', key: 'x' };
const put = (value: number): KeyValueOp => ({ kind: 'put', key: 'x', value });

it('catches a read of a follower that has not heard of the last write', async () => {
  await using cluster = await Cluster.create({ voters: 3, mistake: 'stale-reads' });
  const clients = cluster.clients(new Random(1));
  await clients.of(...cluster.ids).certainly('a', put(1));
  const leader = await cluster.settled(cluster.ids);
  const [stale = 0, ...others] = cluster.ids.toSorted((a, b) => Number(a === leader) - Number(b === leader));
  await cluster.cut((from, to) => from === stale || to === stale);
  await clients.of(...others).certainly('a', put(2));
  await clients.of(stale).certainly('b', GET);
  expect(verdictOn(clients.history)).toMatch(/b: get x -> 1\n.*\n.*a: put x 1 .*\n.*a: put x 2 /);
});

it('catches a write that was acknowledged and not committed', async () => {
  await using cluster = await Cluster.create({ voters: 3, mistake: 'early-answers' });
  const clients = cluster.clients(new Random(1));
  const leader = await cluster.settled(cluster.ids);
  await cluster.cut((from, to) => from === leader || to === leader);
  await clients.of(leader).certainly('a', put(1));
  await clients.of(...cluster.ids.filter((id) => id !== leader)).certainly('b', GET);
  expect(verdictOn(clients.history)).toMatch(/b: get x -> null\n.*\n.*a: put x 1 /);
});
