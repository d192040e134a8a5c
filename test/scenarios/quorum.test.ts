/** Two of three voters are gone: what goes on, what waits, and what happens when they return. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { type Cluster, containers, fourHosts, type Named, routed, startVoters } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { KernelWatch, ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

describe('two of three voters are killed', () => {
  let cluster: Cluster;
  let box: Named<Container>;
  let fourth: Host;
  let pings: RunningPing;
  let survivor: Agent;
  let subnet: string;

  useLab(async (lab: Lab) => {
    const { a, b, c, d } = await fourHosts(lab);
    cluster = await startVoters([a, b, c]);
    box = await containers(lab, cluster.agents);
    fourth = d;
    survivor = cluster.agent('c');
    subnet = survivor.subnet;
  });

  test('pings go on', async () => {
    pings = new RunningPing(box('c'), box('a').address, { count: 1_000 });
    await pings.answered(10);
    for (const name of ['a', 'b']) await cluster.agent(name).kill();
    expect(await ping(box('b'), box('a').address)).toMatchObject({ received: 1 });
  });

  test('status says no quorum and names who is missing, with exit code 4', async () => {
    // A follower notices by its election timeout, a leader by the answers that it does not get.
    const answer = await eventually('the survivor knows', async () => {
      const told = await survivor.cli(['status']);
      return told.code === 4 ? told : undefined;
    });
    const { code, stdout } = await survivor.cli(['status', '--wait', 'quorum', '--timeout', '1s']);
    expect(code).toBe(4);
    expect(`${stdout}${answer.stdout}`).toMatch(/\ba\b[\s\S]*\bb\b/);
    expect((await survivor.status()).health).toBe('no-quorum');
  });

  test('the third restarts to ready from its disk, changes nothing in the kernel and keeps its subnet', async () => {
    const watch = await KernelWatch.start(survivor.host);
    await survivor.kill();
    rmSync(survivor.subnetFile);
    await survivor.agent();
    expect(survivor.subnet).toBe(subnet);
    expect(await watch.stop()).toEqual([]);
  });

  test('reads go on: members, leases and routes from local state', async () => {
    expect((await survivor.members()).map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
    expect(await survivor.json<unknown[]>(['leases'])).toHaveLength(3);
    expect(await survivor.json<unknown[]>(['routes'])).not.toHaveLength(0);
  });

  test('a join fails with exit code 4, names the missing hosts, and writes no subnet file', async () => {
    const joiner = new Agent(fourth);
    const error = await joiner.refused(['join', cluster.token, survivor.host.address, '--timeout', '4s']);
    expect(error.exitCode).toBe(4);
    expect(error.text + error.fix).toMatch(/\ba\b/);
    expect(error.text + error.fix).toMatch(/\bb\b/);
    expect(joiner.subnetEnv()).toBeUndefined();
  });

  test('it also does with its LevelDB deleted from under it', async () => {
    await survivor.kill();
    rmSync(join(survivor.dataDir, 'raft'), { recursive: true });
    rmSync(survivor.subnetFile);
    await survivor.agent();
    expect(survivor.subnet).toBe(subnet);
    expect(await ping(box('c'), box('b').address)).toMatchObject({ received: 1 });
  });

  test('no ping was lost in all that time', async () => {
    expect(await pings.done()).toMatchObject({ sent: 1_000, received: 1_000 });
  });

  test('when they return the join succeeds', async () => {
    const back = ['a', 'b'].map((name) => cluster.agent(name));
    for (const agent of back) await agent.agent();
    const joiner = new Agent(fourth);
    await joiner.join(cluster.token, [cluster.agent('a').host.address], ['--timeout', '60s']);
    await routed([...back, joiner]);
    expect(await ping(box('c'), box('a').address)).toMatchObject({ received: 1 });
  });
});
