/** A firewall between the hosts that lets TCP through and UDP not: the cluster works, says so, and gets over it. */
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { type Cluster, fourHosts, leaderOf, startVoters } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { useLab } from '../lab/use-lab.ts';

const TABLE = 'inet between';

async function block(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) {
    await host.run(['nft', `add table ${TABLE}`]);
    await host.run(['nft', `add chain ${TABLE} input { type filter hook input priority -300; }`]);
    await host.run(['nft', `add rule ${TABLE} input udp dport 6473 counter drop`]);
  }
}

async function unblock(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) await host.run(['nft', `delete table ${TABLE}`]);
}

async function problems(agent: Agent): Promise<readonly string[]> {
  return (await agent.status()).problems.map(({ code }) => code);
}

describe('three hosts between which UDP is blocked', () => {
  let hosts: readonly Host[];
  let cluster: Cluster;

  useLab(async (lab: Lab) => {
    const { a, b, c } = await fourHosts(lab);
    hosts = [a, b, c];
    await block(hosts);
    cluster = await startVoters(hosts);
  });

  test('become a cluster of three voters, and a change is committed', async () => {
    const leader = await leaderOf(cluster.agents);
    await leader.json(['token', 'create']);
    const counters = await hosts[0]?.run(['nft', `list table ${TABLE}`]);
    expect(counters).toMatch(/counter packets [1-9]/);
  });

  test('say on each host which peers do not answer on which port, and stay healthy', async () => {
    for (const agent of cluster.agents) {
      const others = cluster.agents.filter((other) => other !== agent).map(({ host }) => host.name);
      const status = await eventually(`udp-blocked on ${agent.host.name}`, async () => {
        const told = await agent.status();
        const text = told.problems.find(({ code }) => code === 'udp-blocked')?.text ?? '';
        return others.every((name) => new RegExp(`\\bon\\b.*\\b${name}\\b`).test(text)) ? told : undefined;
      });
      expect(status.health).toBe('healthy');
      expect(status.problems).toMatchObject([{ text: expect.stringContaining('UDP port 6473') }]);
    }
  });

  test('elect another leader when theirs is killed', async () => {
    const leader = await leaderOf(cluster.agents);
    await leader.kill();
    const others = cluster.agents.filter((agent) => agent !== leader);
    await leaderOf(others);
    await leader.agent();
  });

  test('have nothing to say any more when UDP passes', async () => {
    await unblock(hosts);
    for (const agent of cluster.agents)
      await eventually(`nothing blocked on ${agent.host.name}`, async () =>
        (await problems(agent)).length === 0 ? true : undefined,
      );
  });
});
