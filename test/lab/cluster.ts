/**
 * The layout that most tests want, the one of the demo: hosts a, b, c on one L2, d behind a router, and a cluster of
 * agents on them, made by one `init` and `join`s as a user would.
 *
 *     a .11   b .12   c .13        d .14
 *      └───────┴───┬───┘             │
 *     10.99.1.0/24 └──.1  router .1──┘ 10.99.2.0/24
 */
import { Agent, type InitResult } from './agent.ts';
import type { RunOptions } from './command.ts';
import { eventually } from './eventually.ts';
import type { Container, Host, L2, Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';

export interface Hosts {
  readonly near: L2;
  readonly far: L2;
  readonly router: Namespace;
  readonly a: Host;
  readonly b: Host;
  readonly c: Host;
  readonly d: Host;
}

export async function fourHosts(lab: Lab): Promise<Hosts> {
  const near = await lab.l2('near');
  const far = await lab.l2('far');
  const router = await lab.router('router', [
    { l2: near, address: '10.99.1.1/24' },
    { l2: far, address: '10.99.2.1/24' },
  ]);
  const host = (name: string, l2: L2, address: string, gateway: string): Promise<Host> =>
    lab.host(name, { l2, address, gateway });
  const [a, b, c, d] = await Promise.all([
    host('a', near, '10.99.1.11/24', '10.99.1.1'),
    host('b', near, '10.99.1.12/24', '10.99.1.1'),
    host('c', near, '10.99.1.13/24', '10.99.1.1'),
    host('d', far, '10.99.2.14/24', '10.99.2.1'),
  ]);
  return { near, far, router, a, b, c, d };
}

/** IPv6 beside it: 2001:db8:1::11 to ::13 and 2001:db8:2::14, the router has ::1 in each. */
export async function addIpv6({ router, a, b, c, d }: Hosts): Promise<void> {
  await router.configure(['address add 2001:db8:1::1/64 dev eth0', 'address add 2001:db8:2::1/64 dev eth1']);
  for (const [host, l2, number] of [
    [a, 1, 11],
    [b, 1, 12],
    [c, 1, 13],
    [d, 2, 14],
  ] as const)
    await host.configure([
      `address add 2001:db8:${l2}::${number}/64 dev eth0`,
      `route add default via 2001:db8:${l2}::1`,
    ]);
}

/** Named things of a lab, for tests that say `agent('a')`. */
export type Named<T> = (name: string) => T;

export interface Cluster extends InitResult {
  readonly agents: readonly Agent[];
  /** By the name of its host. */
  readonly agent: Named<Agent>;
}

/** `init` on the first host, then the others join one after the other; resolves when every host routes to every other. */
export async function startCluster(
  hosts: readonly Host[],
  initArgs: readonly string[] = [],
  options: RunOptions = {},
): Promise<Cluster> {
  const agents = hosts.map((host) => new Agent(host));
  const [first, ...others] = agents;
  if (first === undefined) throw new Error('a cluster has at least one host');
  const result = await first.init(initArgs, options);
  for (const agent of others) await agent.join(result.token, [first.host.address], [], options);
  await routed(agents);
  return { ...result, agents, agent: byName(agents.map((agent) => [agent.host.name, agent])) };
}

/** A cluster whose hosts are all named by `--peers`; resolves when as many of them vote as can. */
export async function startVoters(
  hosts: readonly Host[],
  initArgs: readonly string[] = [],
  options: RunOptions = {},
): Promise<Cluster> {
  const peers = hosts.map(({ address }) => address).join(',');
  const cluster = await startCluster(hosts, ['--peers', peers, ...initArgs], options);
  await voters(cluster.agents, hosts.length - ((hosts.length + 1) % 2));
  return cluster;
}

/** Every agent knows of that many voters and of a leader. */
export async function voters(agents: readonly Agent[], count: number): Promise<void> {
  for (const agent of agents)
    await eventually(`${count} voters on ${agent.host.name}`, async () => {
      const { raft } = await agent.status();
      return raft.voters === count && raft.leader !== null ? true : undefined;
    });
}

/** The agent that leads, as it says itself. */
export async function leaderOf(agents: readonly Agent[]): Promise<Agent> {
  return eventually('a leader', async () => {
    for (const agent of agents) if ((await agent.status()).raft.role === 'leader') return agent;
    return undefined;
  });
}

/** Every host's kernel has a route to every other's lease. */
export async function routed(agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) {
    const wanted = agents.filter((other) => other !== agent).flatMap(({ subnets }) => subnets);
    await eventually(`routes to ${wanted.join(', ')} on ${agent.host.name}`, async () => {
      const tables = [
        await agent.host.ip('route show proto 139'),
        await agent.host.ip('-6 route show proto 139'),
      ];
      const lines = tables.join('\n').split('\n');
      return wanted.every((subnet) => lines.some((line) => line.startsWith(`${subnet} `))) ? true : undefined;
    });
  }
}

/** One plain container a host. */
export async function containers(lab: Lab, agents: readonly Agent[]): Promise<Named<Container>> {
  const made = await Promise.all(agents.map((agent) => agent.container(lab)));
  return byName(made.map((container) => [container.host.name, container]));
}

export function byName<T>(entries: readonly (readonly [string, T])[]): Named<T> {
  const map = new Map(entries);
  return (name) => {
    const found = map.get(name);
    if (found === undefined) throw new Error(`there is no ${name}, only ${[...map.keys()].join(', ')}`);
    return found;
  };
}
