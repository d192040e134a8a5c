/** The data plane does not depend on the agent: killed, stopped, started again, containers keep talking. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import {
  type Cluster,
  containers,
  fourHosts,
  type Named,
  routed,
  startVoters,
  voters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { KernelWatch, ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

const rulesOf = (host: Host): Promise<string> => host.run(['nft', '--stateless', 'list', 'ruleset']);

describe('the agent of a host dies', () => {
  let cluster: Cluster;
  let agents: readonly Agent[];
  let agent: Named<Agent>;
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    const { a, b, d } = await fourHosts(lab);
    cluster = await startVoters([a, b, d]);
    ({ agents, agent } = cluster);
    box = await containers(lab, agents);
  });

  test('killed at any moment and started again: 0 of 1,000 pings are lost, and the kernel is left alone', async () => {
    const victim = agent('a');
    const watch = await KernelWatch.start(victim.host);
    const rules = await rulesOf(victim.host);
    const direct = new RunningPing(box('a'), box('b').address, { count: 1_000, intervalMs: 10 });
    const tunnel = new RunningPing(box('d'), box('a').address, { count: 1_000, intervalMs: 10 });
    // Killed in the middle of a start, when it is just ready, and after a while.
    for (const answers of [100, 250, 400]) {
      await direct.answered(answers);
      await victim.kill();
      victim.start(['agent']);
    }
    await direct.answered(550);
    await victim.kill();
    await victim.agent();
    await victim.kill();
    await victim.agent();
    expect(await direct.done()).toMatchObject({ sent: 1_000, received: 1_000 });
    expect(await tunnel.done()).toMatchObject({ sent: 1_000, received: 1_000 });
    expect(await rulesOf(victim.host)).toBe(rules);
    expect(await watch.stop()).toEqual([]);
  });

  test('SIGTERM ends it within 5 s with exit code 0 and leaves everything in place', async () => {
    const victim = agent('b');
    const before = [await victim.host.ip('route show'), await rulesOf(victim.host)];
    const started = performance.now();
    expect(await victim.stop()).toBe(0);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect([await victim.host.ip('route show'), await rulesOf(victim.host)]).toEqual(before);
    expect(await ping(box('a'), box('b').address)).toMatchObject({ received: 1 });
    await victim.agent();
  });

  test('what changed while it was away is put right when it returns', async () => {
    const victim = agent('b');
    await victim.stop();
    const right = await victim.host.ip('route show proto 139');
    await victim.host.ip(`route delete ${agent('a').subnet} proto 139`);
    await victim.agent();
    await routed(agents);
    expect(await victim.host.ip('route show proto 139')).toBe(right);
  });

  test('a route of ours that is deleted is back at once', async () => {
    const { host } = agent('a');
    const route = `${agent('b').subnet} `;
    await host.ip(`route delete ${agent('b').subnet} proto 139`);
    await eventually('the route is back', async () =>
      (await host.ip('route show proto 139')).includes(route) ? true : undefined,
    );
  });

  test('the vxlan device that is deleted is back with all that belongs to it', async () => {
    const { host } = agent('a');
    await host.ip('link delete flannel.1');
    await eventually('the container behind the router answers', async () =>
      (await ping(box('a'), box('d').address)).received === 1 ? true : undefined,
    );
  });

  test('its LevelDB is deleted from under it: it is ready again with the same subnet', async () => {
    const victim = agent('b');
    const subnet = victim.subnet;
    await victim.kill();
    const raft = join(victim.dataDir, 'raft');
    expect(existsSync(raft) && readdirSync(raft).length > 0).toBe(true);
    rmSync(raft, { recursive: true });
    rmSync(victim.subnetFile);
    await victim.agent();
    expect(victim.subnet).toBe(subnet);
    expect(await ping(box('b'), box('a').address)).toMatchObject({ received: 1 });
  });

  test('and join brings it back as a voter with the same subnet, while its containers talk', async () => {
    const victim = agent('b');
    const subnet = victim.subnet;
    await victim.stop();
    const pings = new RunningPing(box('b'), box('a').address);
    await victim.join(cluster.token, [agent('a').host.address]);
    expect(victim.subnet).toBe(subnet);
    await voters(agents, 3);
    const { sent, received } = await pings.stop();
    expect(sent - received).toBe(0);
  });
});
