/** All subnets are taken: the joiner learns how many, and by whom, and the cluster goes on. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { type Cluster, fourHosts, type Hosts, routed, startCluster } from '../lab/cluster.ts';
import type { Lab } from '../lab/lab.ts';
import { useLab } from '../lab/use-lab.ts';

describe('a network of four subnets, the first of which is never given away', () => {
  let hosts: Hosts;
  let cluster: Cluster;
  let late: Agent;

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    cluster = await startCluster(
      [hosts.a, hosts.b, hosts.c],
      ['--network', '10.77.0.0/26', '--subnet-len', '28'],
    );
    late = new Agent(hosts.d);
  });

  test('three hosts have the three subnets', () => {
    expect(cluster.agents.map(({ subnet }) => subnet).sort()).toEqual(
      ['10.77.0.16/28', '10.77.0.32/28', '10.77.0.48/28'].map((subnet) => subnet),
    );
  });

  test('the fourth is refused with counts and what to do, and leaves nothing', async () => {
    const error = await late.refused(['join', cluster.token, hosts.a.address]);
    expect(error.exitCode).toBe(1);
    expect(error.text).toMatch(/3/);
    expect(error.fix).not.toBe('');
    expect(existsSync(late.subnetFile)).toBe(false);
    expect(await hosts.d.ip('route show proto 139')).toBe('');
    expect((await cluster.agent('a').members()).map(({ name }) => name)).not.toContain('d');
  });

  test('the cluster goes on, and a subnet that is given back goes to the next', async () => {
    const leaver = cluster.agent('c');
    const { subnet } = leaver;
    const { code, stderr } = await leaver.cli(['leave', '--yes']);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    await late.join(cluster.token, [hosts.a.address]);
    expect(late.subnet).toBe(subnet);
    await routed([cluster.agent('a'), cluster.agent('b'), late]);
  });
});
