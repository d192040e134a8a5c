/**
 * The consensus library alone: three processes on one machine, sync and encryption on, clients inside the leader's
 * process. Beside it the ceiling, three processes that do only the sockets and the syncs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type LoadFigures, medianRun } from './load.ts';
import { diskBytes, processUsage } from './machine.ts';
import { type CeilingCalls, ENTRY_BYTES, machineMs } from './raft-calls.ts';
import { freeAddresses, RaftCluster } from './raft-cluster.ts';
import { round, type Summary, summary } from './statistics.ts';
import { DATAGRAM_HEADER_BYTES, type Traffic } from './traffic.ts';
import { Worker } from './worker.ts';

const IN_FLIGHT = [1, 16, 256, 1_024] as const;

/** How long and how often. */
export interface RaftPlan {
  readonly runs: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly idleMs: number;
  readonly failovers: number;
  /** For the members' processes. */
  readonly nodeArguments: readonly string[];
}

export const WHOLE: RaftPlan = {
  runs: 5,
  warmUpMs: 1_000,
  durationMs: 5_000,
  idleMs: 20_000,
  failovers: 50,
  nodeArguments: [],
};
export const SHORT: RaftPlan = { ...WHOLE, runs: 1, durationMs: 2_000, idleMs: 3_000, failovers: 3 };

export interface RaftFigures {
  readonly entryBytes: number;
  readonly clients: 'inside the leader process';
  /** The run with the median rate for each number of clients, and what it cost. */
  readonly commits: readonly (LoadFigures & Cost)[];
  /** The same load on a program that does only the sockets and syncs. */
  readonly ceiling: readonly LoadFigures[];
  /** Linearizable reads on the leader by ReadIndex. */
  readonly reads: readonly LoadFigures[];
  /** From the kill of the leader to the first commit on a survivor. */
  readonly failoverMs: Summary | null;
  /** Of the three processes, after the load. */
  readonly rssMb: Summary | null;
  /** Sent while nothing is proposed, with the headers of IPv4 and UDP. */
  readonly idleBytesPerSecond: { readonly leader: number; readonly follower: number };
}

interface Cost {
  /** All three processes together. */
  readonly cpuUsPerCommit: number;
  readonly wireBytesPerCommit: number;
  readonly diskBytesPerCommit: number;
}

export async function measureRaft(plan: RaftPlan, progress: (text: string) => void): Promise<RaftFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'tsflannel-bench-'));
  try {
    const cluster = await RaftCluster.start(join(directory, 'raft'), plan.nodeArguments);
    progress('Raft, idle');
    const idleBytesPerSecond = await measureIdle(cluster, plan);
    const commits = [];
    for (const inFlight of IN_FLIGHT) {
      progress(`Raft, ${inFlight} in flight`);
      commits.push(await measureCommits(cluster, plan, inFlight));
    }
    const reads = [];
    for (const inFlight of IN_FLIGHT) {
      progress(`ReadIndex, ${inFlight} in flight`);
      reads.push(await measureReads(cluster, plan, inFlight));
    }
    const rssMb = summary(cluster.members.map(({ pid }) => processUsage(pid).rssBytes / 1e6));
    progress(`Raft, ${plan.failovers} failovers`);
    const failoverMs = summary(await measureFailovers(cluster, plan.failovers));
    await cluster.stop();
    const ceiling = await measureCeiling(join(directory, 'ceiling'), plan, progress);
    return {
      entryBytes: ENTRY_BYTES,
      clients: 'inside the leader process',
      commits,
      ceiling,
      reads,
      failoverMs,
      rssMb,
      idleBytesPerSecond,
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function measureIdle(
  cluster: RaftCluster,
  { idleMs }: RaftPlan,
): Promise<RaftFigures['idleBytesPerSecond']> {
  const leader = cluster.member(await cluster.leader());
  const follower = cluster.members.find((member) => member !== leader) ?? leader;
  const sent = (): Promise<number[]> =>
    Promise.all([leader, follower].map(async (member) => wireBytes(await member.call('traffic', null))));
  const before = await sent();
  await delay(idleMs);
  const after = await sent();
  const [ofLeader = 0, ofFollower = 0] = after.map((bytes, i) =>
    Math.round(((bytes - (before[i] ?? 0)) / idleMs) * 1_000),
  );
  return { leader: ofLeader, follower: ofFollower };
}

function wireBytes({ datagrams, datagramBytes, streamBytes }: Traffic): number {
  return datagrams * DATAGRAM_HEADER_BYTES + datagramBytes + streamBytes;
}

async function measureCommits(
  cluster: RaftCluster,
  plan: RaftPlan,
  inFlight: number,
): Promise<LoadFigures & Cost> {
  const leader = cluster.member(await cluster.leader());
  const { warmUpMs, durationMs } = plan;
  const before = await spent(cluster);
  const runs: LoadFigures[] = [];
  for (let run = 0; run < plan.runs; run++)
    runs.push(await leader.call('commits', { inFlight, warmUpMs, durationMs }));
  const after = await spent(cluster);
  const each = (what: keyof typeof after): number =>
    (after[what] - before[what]) / (after.commits - before.commits);
  return {
    ...medianRun(runs),
    cpuUsPerCommit: round(each('cpuMs') * 1_000),
    wireBytesPerCommit: Math.round(each('wireBytes')),
    diskBytesPerCommit: Math.round(each('diskBytes')),
  };
}

async function measureReads(cluster: RaftCluster, plan: RaftPlan, inFlight: number): Promise<LoadFigures> {
  const leader = cluster.member(await cluster.leader());
  const { warmUpMs, durationMs } = plan;
  const runs: LoadFigures[] = [];
  for (let run = 0; run < plan.runs; run++)
    runs.push(await leader.call('reads', { inFlight, warmUpMs, durationMs }));
  return medianRun(runs);
}

/** What the three processes have done and used so far. */
async function spent(
  cluster: RaftCluster,
): Promise<Record<'commits' | 'cpuMs' | 'wireBytes' | 'diskBytes', number>> {
  const { applied: commits } = await cluster.member(await cluster.leader()).call('state', null);
  const each = await Promise.all(
    cluster.members.map(async (member) => ({
      cpuMs: processUsage(member.pid).cpuMs,
      wireBytes: wireBytes(await member.call('traffic', null)),
      diskBytes: diskBytes(member.pid),
    })),
  );
  const sum = (what: 'cpuMs' | 'wireBytes' | 'diskBytes'): number =>
    each.reduce((total, one) => total + one[what], 0);
  return { commits, cpuMs: sum('cpuMs'), wireBytes: sum('wireBytes'), diskBytes: sum('diskBytes') };
}

/** kill -9 of the leader, again and again; each time all three are level before the next. */
async function measureFailovers(cluster: RaftCluster, count: number): Promise<number[]> {
  const samples: number[] = [];
  while (samples.length < count) {
    const leader = await cluster.leader();
    const killed = machineMs();
    await cluster.kill(leader);
    const survivors = cluster.members;
    const committed = await Promise.race(survivors.map((member) => member.call('firstCommit', null)));
    samples.push(committed - killed);
    await Promise.all(survivors.map((member) => member.call('giveUp', null)));
    await cluster.restart(leader);
    await cluster.caughtUp();
  }
  return samples;
}

async function measureCeiling(
  directory: string,
  { runs, warmUpMs, durationMs }: RaftPlan,
  progress: (text: string) => void,
): Promise<LoadFigures[]> {
  const members = await freeAddresses();
  const workers = members.map(() => new Worker<CeilingCalls>('raft-ceiling-member'));
  await Promise.all(
    workers.map((worker, i) => {
      const replica = members[i]?.replica ?? 0;
      return worker.call('start', { replica, members, directory: join(directory, `${replica}`) });
    }),
  );
  const figures: LoadFigures[] = [];
  for (const inFlight of IN_FLIGHT) {
    progress(`ceiling, ${inFlight} in flight`);
    const each: LoadFigures[] = [];
    for (let run = 0; run < runs; run++)
      if (workers[0] !== undefined)
        each.push(await workers[0].call('commits', { inFlight, warmUpMs, durationMs }));
    figures.push(medianRun(each));
  }
  await Promise.all(
    workers.map(async (worker) => {
      await worker.call('stop', null);
      await worker.end();
    }),
  );
  return figures;
}
