/** The data plane: routes into the kernel, throughput of the paths, convergence of many agents, and the cost of idling. */
import { type Convergence, measureConvergence } from './convergence.ts';
import { type IdleAgent, measureIdleAgent } from './idle-agent.ts';
import { measureRouteProgramming, type RouteProgramming } from './route-programming.ts';
import { measureThroughput, type PathKind, type Throughput } from './throughput.ts';

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
  joins: 7,
  settleMs: 30_000,
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
  readonly idle: readonly IdleAgent[];
  readonly convergence: readonly (Convergence | null)[];
}

export async function measureDataPlane(
  plan: DataPlanePlan,
  progress: (text: string) => void,
): Promise<DataPlaneFigures> {
  // Told as they come, too: the last of them takes long, and the machine may not bear it.
  const measure = async <T>(what: string, figures: Promise<T>): Promise<T> => {
    progress(what);
    progress(JSON.stringify(await figures));
    return figures;
  };
  const throughput = (kind: PathKind): Promise<Throughput | null> =>
    measure(`throughput, ${kind}`, measureThroughput(kind, plan.throughputPairs, plan.throughputSeconds));
  const idle = (peers: number): Promise<IdleAgent> =>
    measure(`an idle agent with ${peers} peers`, measureIdleAgent(peers, plan.settleMs, plan.idleMs));
  return {
    routeProgramming: await measure('10,000 routes', measureRouteProgramming(plan.programmingRounds)),
    throughput: { direct: await throughput('direct'), vxlan: await throughput('vxlan') },
    idle: [await idle(2), await idle(1_000)],
    convergence: await inTurn(plan.agents, (agents) =>
      measure(`convergence of ${agents} agents`, measureConvergence(agents, plan.joins)),
    ),
  };
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}
