/** How a host goes: `down` takes our things from its kernel, `leave` also gives the lease back. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import {
  type Cluster,
  containers,
  fourHosts,
  type Hosts,
  type Named,
  routed,
  startVoters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** Everything of the kernel that an agent may change. */
async function kernelOf(host: Host): Promise<readonly string[]> {
  return [
    await host.ip('-brief link show'),
    await host.ip('-brief address show'),
    await host.ip('route show table all'),
    await host.ip('rule show'),
    await rulesOf(host),
    await host.sysctl('net.ipv4.ip_forward'),
    await host.sysctl('net.ipv4.conf.eth0.rp_filter'),
  ];
}

/** Without the built-in chains of iptables: they come with its first rule, are empty, and belong to nobody. */
async function rulesOf(host: Host): Promise<string> {
  const rules = await host.run(['nft', '--stateless', 'list', 'ruleset']);
  const emptyChain = /\tchain [A-Z]+ \{\n\t\ttype .* policy accept;\n\t\}\n\n?/g;
  return rules.replace(emptyChain, '').replace(/table ip (filter|nat|raw|mangle) \{\n\}\n\n?/g, '');
}

describe('hosts that go', () => {
  let hosts: Hosts;
  let cluster: Cluster;
  let box: Named<Container>;
  let d: Agent;
  let untouched: readonly string[];

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    untouched = await kernelOf(hosts.d);
    cluster = await startVoters([hosts.a, hosts.b, hosts.c]);
    box = await containers(lab, cluster.agents);
    d = new Agent(hosts.d);
    await d.join(cluster.token, [hosts.a.address]);
    await routed([...cluster.agents, d]);
  });

  test('down removes routes, devices and rules; agent brings the same back', async () => {
    const { subnet } = d;
    const { code, stdout } = await d.cli(['down']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/route/)]);
    expect(await d.program.exited).toBe(0);
    expect(await kernelOf(hosts.d)).toEqual(untouched);
    await d.agent();
    expect(d.subnet).toBe(subnet);
    await routed([...cluster.agents, d]);
  });

  test('down --purge asks for --yes: 9, and nothing happens', async () => {
    const error = await d.refused(['down', '--purge']);
    expect(error.exitCode).toBe(9);
    expect(d.program.running).toBe(true);
    expect(await ping(hosts.d, box('a').address)).toMatchObject({ received: 1 });
  });

  test('leave gives the lease back and takes everything with it', async () => {
    const { subnet } = d;
    const { code, stderr } = await d.cli(['leave', '--yes']);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(await kernelOf(hosts.d)).toEqual(untouched);
    const a = cluster.agent('a');
    expect((await a.members()).map(({ name }) => name)).not.toContain('d');
    expect((await a.json<{ subnet: string }[]>(['leases'])).map((lease) => lease.subnet)).not.toContain(
      subnet,
    );
    await eventually('the route is gone', async () =>
      (await hosts.a.ip('route show proto 139')).includes(subnet) ? undefined : true,
    );
  });

  test('who has left can join again', async () => {
    const again = new Agent(hosts.d);
    await again.join(cluster.token, [hosts.a.address]);
    await routed([...cluster.agents, again]);
    expect((await again.cli(['leave', '--yes'])).code).toBe(0);
  });

  test('leave that would cost the quorum is refused: 1, also with --yes', async () => {
    await cluster.agent('c').kill();
    const error = await cluster.agent('b').refused(['leave', '--yes']);
    expect([error.exitCode, error.text]).toEqual([1, expect.any(String)]);
    expect(cluster.agent('b').program.running).toBe(true);
  });

  test('leave without a quorum: 4', async () => {
    await cluster.agent('a').kill();
    await eventually('it knows', async () =>
      (await cluster.agent('b').status()).health === 'no-quorum' ? true : undefined,
    );
    const error = await cluster.agent('b').refused(['leave', '--yes', '--timeout', '5s']);
    expect([error.exitCode, error.text]).toEqual([4, expect.any(String)]);
    for (const name of ['a', 'c']) await cluster.agent(name).agent();
  });

  test('down --purge --yes also removes the data directory', async () => {
    const c = cluster.agent('c');
    expect((await c.cli(['down', '--purge', '--yes'])).code).toBe(0);
    expect(existsSync(c.dataDir)).toBe(false);
    expect(await hosts.c.ip('route show proto 139')).toBe('');
  });
});
