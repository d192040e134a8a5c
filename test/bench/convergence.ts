/** How fast a lease becomes routes when there are more hosts than three: real agents on one L2, one joins and leaves. */
import { freemem } from 'node:os';
import { Agent } from '../lab/agent.ts';
import { startVoters } from '../lab/cluster.ts';
import { Lab } from '../lab/lab.ts';
import { DEBUG, type Joins, measureJoins } from './agents.ts';
import { round } from './statistics.ts';

/** With room for what else runs; an agent takes half of it. */
const BYTES_PER_AGENT: number = 200 << 20;

export interface Convergence extends Joins {
  readonly agents: number;
  /** From `init` on the first host until every other host but the last has joined, one after the other, and all have
   *  routes to all. */
  readonly allJoinedMs: number;
}

/** Null where the machine has not the memory for so many. */
export async function measureConvergence(agents: number, rounds: number): Promise<Convergence | null> {
  if (freemem() < agents * BYTES_PER_AGENT) return null;
  await using lab = await Lab.create();
  const l2 = await lab.l2('x');
  const hosts = [];
  for (let number = 1; number <= agents; number++)
    hosts.push(await lab.host(`h${number}`, { l2, address: `10.99.1.${number}/24` }));
  const last = hosts.pop();
  if (last === undefined) throw new Error('one host joins');
  const start = performance.now();
  const cluster = await startVoters(hosts.slice(0, 3), [], DEBUG);
  const [first] = cluster.agents;
  if (first === undefined) throw new Error('somebody is there before');
  const others = hosts.slice(3).map((host) => new Agent(host));
  for (const other of others) await other.join(cluster.token, [first.host.address]);
  const allJoinedMs = round(performance.now() - start);
  const whole = { ...cluster, agents: [...cluster.agents, ...others] };
  return { agents, allJoinedMs, ...(await measureJoins(whole, new Agent(last), rounds)) };
}
