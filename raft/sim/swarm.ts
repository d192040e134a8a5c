/**
 * What a seed is like: sizes, speeds, and which faults happen how often. Drawn anew for each seed (swarm testing): a run
 * in which everything fails at once hides what a run with one kind of fault finds, so each kind is off in a part of the
 * seeds and at its worst in others.
 */
import { type RaftOptions, raftOptions } from '../core/options.ts';
import type { ClusterParameters } from './cluster.ts';
import type { NetworkParameters } from './network.ts';
import type { Random } from './random.ts';

export const FAULTS = [
  'crash',
  'crash-all',
  'pause',
  'partition-halves',
  'partition-isolate',
  'partition-asymmetric',
  'partition-bridge',
  'disk-loss',
  'bit-flip',
  'lost-tail',
  'rollback',
  'membership',
  'clock-jump',
  'transfer',
] as const;
export type Fault = (typeof FAULTS)[number];

const DISK_FAULTS: readonly Fault[] = ['bit-flip', 'lost-tail', ...Array<Fault>(8).fill('rollback')];

export interface SwarmParameters {
  readonly cluster: ClusterParameters;
  /** Milliseconds between faults, at most. */
  readonly faultEveryMsMax: number;
  /** How long a crash, a pause or a partition lasts, at most. */
  readonly faultLastsMsMax: number;
  /** The kinds of fault that happen; one listed twice happens twice as often. */
  readonly faults: readonly Fault[];
  /** Membership goes by the autopilot, not at random. */
  readonly hasAutopilot: boolean;
  /** Milliseconds between proposals, at most. */
  readonly proposeEveryMsMax: number;
  /** Milliseconds between reads, at most. */
  readonly readEveryMsMax: number;
}

/** Shares of seeds in which a kind of trouble exists at all. */
const PRESENT = 0.6;

export function drawSwarm(random: Random): SwarmParameters {
  const hasDatabase = random.chance(0.5);
  // What is seldom possible is tried more often.
  const tried: readonly Fault[] = [
    ...FAULTS,
    ...Array<Fault>(3).fill('transfer'),
    ...(hasDatabase ? DISK_FAULTS : []),
  ];
  const faults = tried.filter(() => random.chance(PRESENT));
  const options = drawOptions(random);
  // Faults are as long and as far apart as a few elections, or much shorter, or much longer.
  const electionMs = options.electionTimeoutMsMax;
  return {
    cluster: {
      voters: random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 7]) ?? 3,
      learners: random.pick([0, 0, 0, 1, 3]) ?? 0,
      options,
      network: drawNetwork(random, options.heartbeatMs),
      disk: {
        hasDatabase,
        writeMsMin: 0,
        writeMsMax: Math.floor(options.heartbeatMs * (random.pick([0, 0.1, 0.2, 0.6]) ?? 0)),
        stallProbability: random.chance(0.2) ? 0.01 : 0,
        stallMs: electionMs,
      },
      snapshotEntries: random.integer(20, 200),
      snapshotPieceMsMax: Math.floor(options.heartbeatMs * (random.pick([0, 0.1, 1]) ?? 0)),
      drainsLate: random.chance(0.5),
    },
    faultEveryMsMax: Math.floor(electionMs * (random.pick([0.5, 2, 5, 10]) ?? 2)),
    faultLastsMsMax: Math.floor(electionMs * (random.pick([0.1, 1, 3]) ?? 1)),
    faults,
    hasAutopilot: random.chance(0.5),
    proposeEveryMsMax: random.integer(8, 2 * options.heartbeatMs),
    readEveryMsMax: options.heartbeatMs * (random.pick([1, 4, 16]) ?? 4),
  };
}

/**
 * Small windows and small messages in many seeds: long logs and full pipes are where the mistakes are. Shorter timeouts
 * than in production in most: more elections for each step spent.
 */
function drawOptions(random: Random): RaftOptions {
  const trailingEntries = random.pick([0, 1, 10, 50]) ?? 10;
  const heartbeatMs = random.pick([20, 40, 100, 250]) ?? 250;
  return raftOptions({
    heartbeatMs,
    learnerHeartbeatMs: heartbeatMs * (random.pick([1, 4]) ?? 4),
    electionTimeoutMsMin: heartbeatMs * 4,
    electionTimeoutMsMax: heartbeatMs * 8,
    retransmitMsInitial: Math.floor(heartbeatMs / 2),
    maxAppendBytes: random.pick([64, 300, 1_200, 65_536]) ?? 1_200,
    maxProbeBytes: random.pick([64, 1_200]) ?? 1_200,
    maxInflightMessages: random.pick([1, 2, 8, 16]) ?? 8,
    maxCommandBytes: 1_000,
    maxUncommittedBytes: random.pick([2_000, 1 << 20]) ?? 1 << 20,
    trailingEntries,
    laggingEntries: trailingEntries + (random.pick([0, 30, 100, 1_000]) ?? 100),
    snapshotRetryMs: random.pick([300, 2_000]) ?? 2_000,
    snapshotChunkBytes: random.pick([40, 200, 1 << 20]) ?? 200,
    maxSnapshotInflightBytes: random.pick([40, 400]) ?? 400,
  });
}

function drawNetwork(random: Random, heartbeatMs: number): NetworkParameters {
  return {
    dropProbability: random.chance(PRESENT) ? random.integer(1, 30) / 100 : 0,
    duplicateProbability: random.chance(PRESENT) ? random.integer(1, 50) / 100 : 0,
    delayMsMin: 0,
    delayMsMax: Math.floor(heartbeatMs * (random.pick([0, 0.05, 0.2, 0.8]) ?? 0)),
    slowProbability: random.chance(PRESENT) ? random.integer(1, 10) / 100 : 0,
    slowMsMax: heartbeatMs * random.integer(2, 40),
  };
}

/** What the network is like once everything is healed. */
export const CALM_NETWORK: NetworkParameters = {
  dropProbability: 0,
  duplicateProbability: 0,
  delayMsMin: 0,
  delayMsMax: 2,
  slowProbability: 0,
  slowMsMax: 2,
};
