/**
 * A voter whose disk was replaced, or put back to an older copy, has forgotten what it acknowledged. Together with one
 * that never knew it could make a quorum in which an acknowledged write is lost: here it is brought into exactly that
 * situation, and must be found out before anybody is answered.
 */
import { expect, it } from 'vitest';
import type { KeyValueOp } from '../../raft/sim/key-value-model.ts';
import { Random } from '../../raft/sim/random.ts';
import { Cluster } from './cluster.ts';
import { Operator } from './operator.ts';
import { verdictOn } from './verdict.ts';

const GET: KeyValueOp = { kind: 'get', key: 'x' };
const put = (value: number): KeyValueOp => ({ kind: 'put', key: 'x', value });
const [KNOWS, FORGETS, NEVER_KNEW] = [1, 2, 3];

it.each([
  { disk: 'an empty disk', mode: 'create' as const },
  { disk: 'an older copy of its disk', mode: 'open' as const },
])('a voter with $disk is refused, and what was acknowledged stays', async ({ mode }) => {
  await using cluster = await Cluster.create({ voters: 3 });
  const clients = cluster.clients(new Random(1));
  await cluster.kill(FORGETS);
  await cluster.keepDisk(FORGETS);
  cluster.start(FORGETS, 'open');
  await cluster.settled(cluster.ids);
  // It acknowledges to the one that leads, which so sees how far its disk is.
  await new Operator(cluster, new Random(1)).handOver(NEVER_KNEW);
  await clients.certainly('a', put(1));
  await cluster.settled(cluster.ids);

  await cluster.cut((from, to) => from === NEVER_KNEW || to === NEVER_KNEW);
  await clients.of(KNOWS, FORGETS).certainly('a', put(2));
  await cluster.kill(FORGETS);
  await cluster.kill(KNOWS);
  if (mode === 'create') await cluster.loseDisk(FORGETS);
  else await cluster.putBackDisk(FORGETS);
  await cluster.cut(() => false);
  cluster.start(FORGETS, mode);

  const abort = new AbortController();
  const read = clients.of(FORGETS, NEVER_KNEW).certainly('b', GET, abort.signal);
  const found = await Promise.race([cluster.ended(FORGETS), read.then((value) => `it was read as ${value}`)]);
  abort.abort();
  expect(found).toMatch(/RolledBackError: replica 2 stands at write .* older copy/);

  cluster.start(KNOWS, 'open');
  expect(await clients.of(KNOWS, NEVER_KNEW).certainly('c', GET)).toBe(2);
  expect(verdictOn(clients.history)).toBe('linearizable');
});
