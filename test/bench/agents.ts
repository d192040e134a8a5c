/**
 * What a user waits for and what an agent costs, measured from outside on real agents in the lab: three voters on one
 * L2, and a fourth host that joins and leaves.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent } from '../lab/agent.ts';
import { type Cluster, fourHosts, leaderOf, startVoters } from '../lab/cluster.ts';
import type { Program } from '../lab/command.ts';
import { eventually } from '../lab/eventually.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { processUsage } from './machine.ts';
import { round, type Summary, summary } from './statistics.ts';

const ROUNDS = 11;
const SETTLE_MS = 60_000;
const IDLE_MS = 30_000;
/** Agents that log each applied command, for `measureJoins`. */
export const DEBUG = { env: { TSFLANNEL_LOG_LEVEL: 'debug', TSFLANNEL_LOG_FORMAT: 'json' } };

export interface AgentFigures {
  /** From the start of the process to ready. */
  readonly initMs: Summary | null;
  readonly joinMs: Summary | null;
  readonly restartMs: Summary | null;
  /** From the start of `join` to the route in the kernel of the last host. */
  readonly joinToRoutedMs: Summary | null;
  /** From the commit on the leader to the route in the kernel of the last host. */
  readonly leaseToRouteMs: Summary | null;
  /** Of the agents of the three voters, after a minute of work. */
  readonly rssMb: Summary | null;
  readonly idleCpuPercent: Summary | null;
}

export async function measureAgents(progress: (text: string) => void): Promise<AgentFigures> {
  await using lab = await Lab.create();
  const { a, b, c, d } = await fourHosts(lab);
  progress('init');
  const initMs = await measureInit(d);
  progress('three voters');
  const cluster = await startVoters([a, b, c], [], DEBUG);
  progress('join');
  const joins = await measureJoins(cluster, new Agent(d), ROUNDS);
  progress('restart');
  const restartMs = await measureRestarts(cluster.agent('b'));
  progress(`RSS and idle CPU, ${(SETTLE_MS + IDLE_MS) / 1000} s`);
  return { initMs, ...joins, restartMs, ...(await measureCost(cluster)) };
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await what();
  return performance.now() - start;
}

async function measureInit(host: Host): Promise<Summary | null> {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const agent = new Agent(host);
    samples.push(await timed(() => agent.init()));
    await agent.json(['down', '--purge', '--yes']);
  }
  return summary(samples);
}

async function measureRestarts(agent: Agent): Promise<Summary | null> {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await agent.kill();
    samples.push(await timed(() => agent.agent()));
  }
  return summary(samples);
}

export type Joins = Pick<AgentFigures, 'joinMs' | 'joinToRoutedMs' | 'leaseToRouteMs'>;

/** A host that is in no cluster joins and leaves, again and again. */
export async function measureJoins(cluster: Cluster, joiner: Agent, rounds: number): Promise<Joins> {
  const [first] = cluster.agents;
  if (first === undefined) throw new Error('the cluster has hosts');
  const joins: number[] = [];
  const routed: number[] = [];
  const latencies: number[] = [];
  const monitors = cluster.agents.map(({ host }) =>
    host.start(['ip', '-tshort', '-oneline', 'monitor', 'route']),
  );
  for (let round = 0; round < rounds; round++) {
    const leader = await leaderOf(cluster.agents);
    const started = Date.now();
    joins.push(await timed(() => joiner.join(cluster.token, [first.host.address])));
    const arrivals = await Promise.all(monitors.map((monitor) => arrival(monitor, joiner.subnet, started)));
    routed.push(Math.max(...arrivals) - started);
    const committed = committedAt(leader.program, started);
    if (committed !== undefined) latencies.push(Math.max(...arrivals) - committed);
    await joiner.json(['leave', '--yes']);
  }
  await Promise.all(monitors.map((monitor) => monitor.stop()));
  return { joinMs: summary(joins), joinToRoutedMs: summary(routed), leaseToRouteMs: summary(latencies) };
}

/** When the kernel reported the route, in milliseconds of the wall clock that the log uses, too. */
function arrival(monitor: Program, subnet: string, notBefore: number): Promise<number> {
  return monitor.until(() => {
    const times = monitor.stdout
      .split('\n')
      .filter((line) => line.includes(`] ${subnet} `))
      .map((line) => wallClock(/\[([^\]]+)\]/.exec(line)?.[1]));
    return times.find((time) => time >= notBefore);
  }, `a route to ${subnet}`);
}

/** When the leader applied the command that granted a lease, by its own log. */
function committedAt(leader: Program, notBefore: number): number | undefined {
  for (const line of leader.stderr.split('\n').filter((text) => text.includes('"command-applied"'))) {
    const { time, text }: { time: string; text: string } = JSON.parse(line);
    const at = Date.parse(time);
    if (text.includes('acquired') && at >= notBefore) return at;
  }
  return undefined;
}

/** `ip` writes local time with microseconds and no zone, which is how Date reads it. */
function wallClock(stamp: string | undefined): number {
  const [, seconds = '', fraction = '0'] = /^(.*)\.(\d+)$/.exec(stamp ?? '') ?? [];
  return Date.parse(seconds) + Number(`0.${fraction}`) * 1000;
}

async function measureCost(cluster: Cluster): Promise<Pick<AgentFigures, 'rssMb' | 'idleCpuPercent'>> {
  await eventually('health', async () =>
    (await Promise.all(cluster.agents.map((agent) => agent.status()))).every(
      ({ health }) => health === 'healthy',
    )
      ? true
      : undefined,
  );
  await delay(SETTLE_MS);
  const pids = cluster.agents.map(({ program }) => program.pid);
  const before = pids.map((pid) => processUsage(pid).cpuMs);
  await delay(IDLE_MS);
  const after = pids.map((pid) => processUsage(pid));
  return {
    rssMb: summary(after.map(({ rssBytes }) => rssBytes / 1e6)),
    idleCpuPercent: summary(after.map(({ cpuMs }, i) => round(((cpuMs - (before[i] ?? 0)) / IDLE_MS) * 100))),
  };
}
