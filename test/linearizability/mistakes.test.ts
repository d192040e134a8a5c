/**
 * What real.test.ts would see if something were wrong: members with a deliberate mistake, brought into the situation in
 * which it shows.
 */
import { expect, it } from 'vitest';
import { type KeyValueOp, keyValueModel } from '../../raft/sim/key-value-model.ts';
import { checkLinearizable, type Verdict } from '../../raft/sim/linearize.ts';
import { Random } from '../../raft/sim/random.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';

const put = (value: number): KeyValueOp => ({ kind: 'put', key: 'x', value });

/** Clients that ask only these members, and one history for all of them. */
function clientsOf(cluster: Cluster): { of: (...ids: readonly number[]) => Clients; verdict: () => Verdict } {
  const made: Clients[] = [];
  return {
    of: (...ids) => {
      const clients = new Clients(ids, (id, op) => cluster.operate(id, op), new Random(1));
      made.push(clients);
      return clients;
    },
    verdict: () =>
      checkLinearizable(
        keyValueModel,
        made.flatMap(({ history }) => history),
      ),
  };
}

it('catches a read of a follower that has not heard of the last write', async () => {
  await using cluster = await Cluster.create({ voters: 3, mistake: 'stale-reads' });
  const clients = clientsOf(cluster);
  await clients.of(...cluster.ids).perform('a', put(1));
  const leader = await cluster.settled(cluster.ids);
  const [stale = 0, ...others] = cluster.ids.toSorted((a, b) => Number(a === leader) - Number(b === leader));
  await cluster.cut((from, to) => from === stale || to === stale);
  await clients.of(...others).perform('a', put(2));
  await clients.of(stale).get('b', 'x');
  expect(clients.verdict()).toMatchObject({
    kind: 'not-linearizable',
    key: 'x',
    explanation: expect.stringMatching(/b: get x -> 1\n.*\n.*a: put x 1 .*\n.*a: put x 2 /),
  });
});

it('catches a write that was acknowledged and not committed', async () => {
  await using cluster = await Cluster.create({ voters: 3, mistake: 'early-answers' });
  const clients = clientsOf(cluster);
  const leader = await cluster.settled(cluster.ids);
  await cluster.cut((from, to) => from === leader || to === leader);
  await clients.of(leader).perform('a', put(1));
  await clients.of(...cluster.ids.filter((id) => id !== leader)).get('b', 'x');
  expect(clients.verdict()).toMatchObject({
    kind: 'not-linearizable',
    key: 'x',
    explanation: expect.stringMatching(/b: get x -> null\n.*\n.*a: put x 1 /),
  });
});
