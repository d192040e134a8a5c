/** The data plane: routes into the kernel, throughput of the paths, convergence of many agents, and the cost of idling. */
import { type Convergence, measureConvergence } from './convergence.ts';
import { type IdleAgent, measureIdleAgent } from './idle-agent.ts';
import { measureRouteProgramming, type RouteProgramming } from './route-programming.ts';
import { measureThroughput, type Throughput } from './throughput.ts';

/** How long and how often. */
export interface DataPlanePlan {
  readonly programmingRounds: number;
  /** Odd, for a median. */
  readonly throughputPairs: number;
  readonly throughputSeconds: number;
  readonly agents: readonly number[];
  readonly joins: number;
  readonly settleMs: number;
  readonly idleMs: number;
}

export const WHOLE_DATA_PLANE: DataPlanePlan = {
  programmingRounds: 11,
  throughputPairs: 11,
  throughputSeconds: 2,
  agents: [3, 10, 50],
  joins: 11,
  settleMs: 60_000,
  idleMs: 30_000,
};
export const SHORT_DATA_PLANE: DataPlanePlan = {
  programmingRounds: 3,
  throughputPairs: 3,
  throughputSeconds: 1,
  agents: [3],
  joins: 3,
  settleMs: 5_000,
  idleMs: 10_000,
};

export interface DataPlaneFigures {
  readonly routeProgramming: RouteProgramming;
  readonly throughput: { readonly direct: Throughput | null; readonly vxlan: Throughput | null };
  readonly convergence: readonly (Convergence | null)[];
  readonly idle: readonly IdleAgent[];
}

export async function measureDataPlane(
  plan: DataPlanePlan,
  progress: (text: string) => void,
): Promise<DataPlaneFigures> {
  progress('10,000 routes');
  const routeProgramming = await measureRouteProgramming(plan.programmingRounds);
  const throughput = { direct: null, vxlan: null } as { direct: Throughput | null; vxlan: Throughput | null };
  for (const kind of ['direct', 'vxlan'] as const) {
    progress(`throughput, ${kind}`);
    throughput[kind] = await measureThroughput(kind, plan.throughputPairs, plan.throughputSeconds);
  }
  const convergence = [];
  for (const agents of plan.agents) {
    progress(`convergence of ${agents} agents`);
    convergence.push(await measureConvergence(agents, plan.joins));
  }
  const idle = [];
  for (const peers of [2, 1_000]) {
    progress(`an idle agent with ${peers} peers, ${(plan.settleMs + plan.idleMs) / 1000} s`);
    idle.push(await measureIdleAgent(peers, plan.settleMs, plan.idleMs));
  }
  return { routeProgramming, throughput, convergence, idle };
}
