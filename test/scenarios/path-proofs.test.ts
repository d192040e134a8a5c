/**
 * Paths that fail as real ones do, under real agents: two hosts on one L2 and one behind a router. What the L2 does is
 * set on its bridge, what a host does in its own namespace; what packets do is asked of ping, and the agents only for
 * what they say.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { containers, fourHosts, type Hosts, type Named, routed, startCluster } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

interface Way {
  readonly state: string;
  readonly loss: number | null;
  readonly mtu: number | null;
  readonly reason: string | null;
}
interface PeerPath {
  readonly name: string;
  readonly path: string;
  readonly mtu: number | null;
  readonly reason: string | null;
  readonly since: string;
  readonly direct: Way;
  readonly vxlan: Way;
}

/** What an L2 can do to frames: each by the addresses that are in them. */
const DROPS = {
  /** A cloud's source and destination check. */
  containers: ['ip saddr 10.5.0.0/16 drop', 'ip daddr 10.5.0.0/16 drop'],
  tunnels: ['udp dport 8472 drop'],
  all: ['ip saddr 10.5.0.0/16 drop', 'ip daddr 10.5.0.0/16 drop', 'udp dport 8472 drop'],
} as const;

describe('two hosts on one L2 and one behind a router', () => {
  let hosts: Hosts;
  let a: Agent;
  let b: Agent;
  let agents: readonly Agent[];
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    const cluster = await startCluster([hosts.a, hosts.b, hosts.d]);
    ({ agents } = cluster);
    [a, b] = [cluster.agent('a'), cluster.agent('b')];
    box = await containers(lab, agents);
  });

  async function pathTo(from: Agent, name: string): Promise<PeerPath> {
    const [peer] = await from.json<readonly PeerPath[]>(['paths', name]);
    if (peer === undefined) throw new Error(`no path to ${name}`);
    return peer;
  }

  const reached = (from: Agent, name: string, path: string): Promise<PeerPath> =>
    eventually(
      `the path from ${from.host.name} to ${name} is ${path}`,
      async () => {
        const found = await pathTo(from, name);
        return found.path === path ? found : undefined;
      },
      90_000,
    );

  /** The device of the kernel's route to the other's containers. */
  async function device(from: Host, to: Agent): Promise<string> {
    const [route]: { dev: string }[] = JSON.parse(await from.ip(`-json route show ${to.subnet} proto 139`));
    return route?.dev ?? 'none';
  }

  async function drop(l2: Namespace, what: keyof typeof DROPS): Promise<void> {
    const rules = DROPS[what].map((rule) => `add rule bridge faults forward ${rule}`);
    const chain = '{ type filter hook forward priority 0; }';
    const script = ['add table bridge faults', `add chain bridge faults forward ${chain}`, ...rules];
    await l2.run(['nft', '-f', '-'], { input: `${script.join('\n')}\n` });
  }

  const heal = (l2: Namespace): Promise<string> => l2.run(['nft', 'delete', 'table', 'bridge', 'faults']);

  /** A policy of the host that eats the probes and what answers them, and no packet of a container. */
  const icmp = (host: Host, action: '-I' | '-D'): Promise<string> =>
    host.run(['iptables', action, 'INPUT', '-p', 'icmp', '-j', 'DROP']);

  const echoReplies = async (host: Host): Promise<number> => {
    const { kernel: counters }: { kernel: Record<string, number> } = JSON.parse(
      await host.run(['nstat', '-asj', 'IcmpInEchoReps']),
    );
    return counters?.['IcmpInEchoReps'] ?? 0;
  };

  test('converge to direct on the L2 and vxlan behind the router, and both ways are shown', async () => {
    for (const agent of agents) expect((await agent.cli(['status', '--wait', 'direct'])).code).toBe(0);
    await routed(agents);
    const near = await eventually('both ways are proven at full length', async () => {
      const path = await pathTo(a, 'b');
      return path.direct.mtu === 1500 && path.vxlan.mtu === 1450 ? path : undefined;
    });
    expect(near).toMatchObject({
      ...{ path: 'direct', mtu: 1500, reason: null },
      ...{ direct: { state: 'proven' }, vxlan: { state: 'proven' } },
    });
    const far = await reached(a, 'd', 'vxlan');
    expect(far.direct).toMatchObject({
      state: 'impossible',
      reason: '10.99.2.14 is behind the router 10.99.1.1',
    });
    expect(far.vxlan.state).toBe('proven');
  });

  test('a direct path that is swallowed is left for vxlan, and taken again without a lost packet', async () => {
    const running = new RunningPing(box('a'), box('b').address);
    await running.answered(10);
    await drop(hosts.near, 'containers');
    const left = await reached(a, 'b', 'vxlan');
    expect(left).toMatchObject({ reason: 'the direct path stopped answering', direct: { state: 'dead' } });
    await reached(b, 'a', 'vxlan');
    const outage = await running.stop();
    expect(outage.received).toBeLessThan(outage.sent);

    const back = new RunningPing(box('a'), box('b').address);
    await back.answered(10);
    await heal(hosts.near);
    for (const [from, to] of [
      [a, 'b'],
      [b, 'a'],
    ] as const)
      await reached(from, to, 'direct');
    expect([await device(hosts.a, b), await device(hosts.b, a)]).toEqual(['eth0', 'eth0']);
    const whole = await back.stop();
    // The last one may be on its way when the ping ends.
    expect(whole.sent - whole.received).toBeLessThanOrEqual(1);
  });

  test('answers do not depend on the agent of the peer', async () => {
    await b.kill();
    const before = await echoReplies(hosts.a);
    await eventually('answers of a host without an agent', async () =>
      (await echoReplies(hosts.a)) > before + 15 ? true : undefined,
    );
    expect(await pathTo(a, 'b')).toMatchObject({ path: 'direct', direct: { state: 'proven' } });
    await b.agent();
    await reached(b, 'a', 'direct');
  });

  test('a tunnel that is blocked is no reason to leave a direct path', async () => {
    await drop(hosts.near, 'tunnels');
    const { loss } = (await pathTo(a, 'b')).vxlan;
    await eventually('a probe in the tunnel is lost', async () =>
      ((await pathTo(a, 'b')).vxlan.loss ?? 0) > (loss ?? 0) ? true : undefined,
    );
    expect(await pathTo(a, 'b')).toMatchObject({ path: 'direct', direct: { state: 'proven' } });
    expect(await device(hosts.a, b)).toBe('eth0');
    await heal(hosts.near);
  });

  test('when nothing gets through the last route stays, and the path is down and says so', async () => {
    await drop(hosts.near, 'all');
    const down = await reached(a, 'b', 'down');
    expect(down.reason).toBe('no probe is answered on any path any more');
    expect(await device(hosts.a, b)).toBe('eth0');
    const { health, problems } = await a.status();
    expect([health, problems.map(({ code }) => code)]).toEqual([
      'degraded',
      expect.arrayContaining(['peer-down']),
    ]);
    await heal(hosts.near);
    await reached(a, 'b', 'direct');
    await reached(b, 'a', 'direct');
  });

  describe('a policy that eats the probes', () => {
    beforeAll(() => icmp(hosts.b, '-I'));

    test('leaves everything as it is, at an agent that never had an answer as well', async () => {
      const running = new RunningPing(box('a'), box('b').address);
      await running.answered(10);
      await reached(a, 'b', 'down');
      await a.stop();
      await a.agent();
      const unproven = await eventually('probes were lost', async () => {
        const path = await pathTo(a, 'b');
        return path.direct.state === 'dead' && path.vxlan.state === 'dead' ? path : undefined;
      });
      expect(unproven).toMatchObject({
        ...{ path: 'unproven', reason: 'no probe was ever answered; a packet filter may drop them' },
      });
      expect(await device(hosts.a, b)).toBe('eth0');
      const { sent, received } = await running.stop();
      expect(sent - received).toBeLessThanOrEqual(1);
      await icmp(hosts.b, '-D');
      await reached(a, 'b', 'direct');
    });
  });

  test('a host that was behind the check from the start is reached by vxlan, and knows why', async () => {
    await a.stop();
    await hosts.a.run(['ip', 'route', 'flush', 'proto', '139']);
    await drop(hosts.near, 'containers');
    await a.agent();
    const path = await reached(a, 'b', 'vxlan');
    expect(await device(hosts.a, b)).toBe('flannel.1');
    await reached(b, 'a', 'vxlan');
    expect(await ping(box('a'), box('b').address)).toMatchObject({ received: 1 });
    expect(path.vxlan.state).toBe('proven');
    await heal(hosts.near);
  });
});
