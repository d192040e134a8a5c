/** A host gets another address while its agent runs: its subnet stays, and the routes of the others follow. */
import { expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { containers, fourHosts, type Hosts, type Named, startVoters } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

let hosts: Hosts;
let agent: Named<Agent>;
let box: Named<Container>;

useLab(async (lab: Lab) => {
  hosts = await fourHosts(lab);
  const cluster = await startVoters([hosts.a, hosts.b, hosts.c]);
  agent = cluster.agent;
  box = await containers(lab, cluster.agents);
});

test('a host on one L2 moves from one address to another', async () => {
  const { subnet } = agent('c');
  expect(await ping(box('a'), box('c').address)).toMatchObject({ received: 1 });
  await hosts.c.configure([
    'address delete 10.99.1.13/24 dev eth0',
    'address add 10.99.1.23/24 dev eth0',
    'route replace default via 10.99.1.1',
  ]);
  for (const name of ['a', 'b'] as const)
    await eventually(`${name} has the new way`, async () => {
      const routes = await hosts[name].ip(`route show ${subnet} proto 139`);
      return routes.includes('via 10.99.1.23 ') ? true : undefined;
    });
  await eventually('containers talk', async () =>
    (await ping(box('a'), box('c').address)).received === 1 ? true : undefined,
  );
  expect(await ping(box('c'), box('b').address)).toMatchObject({ received: 1, ttl: 62 });
  expect(agent('c').subnet).toBe(subnet);
  expect((await agent('c').status()).node.publicIp).toBe('10.99.1.23');
  expect((await agent('c').status()).lease?.subnet).toBe(subnet);
});
