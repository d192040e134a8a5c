/** What somebody else put into the kernel is untouched: before, during and after, even with our names and addresses. */
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { fourHosts, routed } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { useLab } from '../lab/use-lab.ts';

/** The lease of the peer, asked for so that somebody else can be there first. */
const SUBNET = '10.5.42.0/24';

describe('on a host where somebody else uses our addresses and names', () => {
  let host: Host;
  let a: Agent;
  let b: Agent;
  let before: readonly string[];
  let token: string;

  /** The foreign things, each as its owner would look at it. */
  const foreign = async (): Promise<readonly string[]> => {
    const route = await host.ip(`route show ${SUBNET} proto static`);
    const rule = await host.ip('rule show pref 5000');
    const neighbour = await host.ip('neighbour show 10.5.42.0 dev eth0');
    const device = await host.ip('-details link show flannel.7');
    const table = await host.run(['nft', '--stateless', 'list', 'table', 'ip', 'theirs']);
    const forward = await host.run(['iptables', '-S', 'THEIRS']);
    return [route, rule, neighbour, device, table, forward];
  };

  useLab(async (lab: Lab) => {
    const hosts = await fourHosts(lab);
    host = hosts.a;
    a = new Agent(host);
    b = new Agent(hosts.b);
    await host.configure([
      `rule add to ${SUBNET} lookup 100 pref 5000`,
      'neighbour add 10.5.42.0 lladdr 02:00:00:00:00:42 dev eth0 nud permanent',
      'link add flannel.7 type vxlan id 7 dstport 4789 dev eth0',
    ]);
    const table =
      'table ip theirs { chain c { type filter hook forward priority 5; ip daddr 10.5.42.0/24 accept; }; }';
    await host.run(['nft', table]);
    await host.run(['iptables', '-N', 'THEIRS']);
    await host.run(['iptables', '-A', 'THEIRS', '-d', SUBNET, '-j', 'ACCEPT']);
    ({ token } = await a.init());
    await host.ip(`route add ${SUBNET} via 10.99.1.13 dev eth0 proto static`);
    before = await foreign();
    await b.join(token, [host.address], ['--subnet', SUBNET]);
    await routed([b, a]).catch(() => undefined);
  });

  test('the foreign route stays, and it is reported', async () => {
    const { exitCode, problem } = await eventually('the problem is reported', async () => {
      const { code } = await a.cli(['status']);
      const { problems } = await a.status();
      const found = problems.find(({ text }) => /not ours/.test(text));
      return found === undefined ? undefined : { exitCode: code, problem: found };
    });
    expect(exitCode).toBe(3);
    expect(problem.fix).not.toBe('');
    const routes = await a.json<readonly { dst: string; state: string }[]>(['routes']);
    expect(routes.filter(({ dst }) => dst === SUBNET).map(({ state }) => state)).toContain('foreign');
    expect(await foreign()).toEqual(before);
  });

  test('all of it stays when the agent is killed, started again, and when the peer leaves', async () => {
    await a.kill();
    await a.agent();
    expect(await foreign()).toEqual(before);
    await b.cli(['leave', '--yes']);
    await eventually('the lease is gone', async () =>
      (await a.json<unknown[]>(['leases'])).length === 1 ? true : undefined,
    );
    expect(await foreign()).toEqual(before);
  });

  test('and when we remove everything that is ours', async () => {
    const { code } = await a.cli(['down', '--purge', '--yes']);
    expect(code).toBe(0);
    expect(await foreign()).toEqual(before);
  });
});
