/**
 * For mistakes that need a certain kind of trouble to show: what a seed drew, with more of that. The mistakes of real
 * systems were found by those who had the matching fault.
 */
import type { ClusterParameters } from '../../raft/sim/cluster.ts';
import type { SwarmParameters } from '../../raft/sim/swarm.ts';

export type Swarm =
  | 'changes'
  | 'changes-and-snapshots'
  | 'late-snapshots'
  | 'learners'
  | 'paused'
  | 'separated'
  | 'tails'
  | 'transfers';

type Shape = (drawn: SwarmParameters) => Partial<SwarmParameters>;

/** Everything that is compacted is gone, and it is soon. */
function withSnapshots(cluster: ClusterParameters, snapshotChunkBytes = 1 << 20): ClusterParameters {
  const options = { ...cluster.options, trailingEntries: 0, laggingEntries: 0, snapshotChunkBytes };
  return { ...cluster, options, snapshotEntries: 10 };
}

/** Elections soon after a leader falls silent, and leaders that believe for long that they are one. */
function withShortTimeouts(cluster: ClusterParameters): ClusterParameters {
  const times = {
    heartbeatMs: 40,
    learnerHeartbeatMs: 40,
    electionTimeoutMsMin: 100,
    electionTimeoutMsMax: 600,
  };
  const disk = { ...cluster.disk, writeMsMax: 2, stallProbability: 0 };
  return { ...cluster, options: { ...cluster.options, ...times }, disk };
}

/** Partitions that last about as long as it takes to elect another leader and to notice. */
function partitionsOf({
  cluster,
}: SwarmParameters): Pick<SwarmParameters, 'faultEveryMsMax' | 'faultLastsMsMax'> {
  const { electionTimeoutMsMax } = cluster.options;
  return { faultEveryMsMax: 4 * electionTimeoutMsMax, faultLastsMsMax: 3 * electionTimeoutMsMax };
}

export const SWARMS: Readonly<Record<Swarm, Shape>> = {
  changes: () => ({ faults: ['membership', 'membership', 'crash', 'partition-halves'] }),
  'changes-and-snapshots': (drawn) => ({
    ...partitionsOf(drawn),
    cluster: withSnapshots(drawn.cluster),
    faults: ['membership', 'membership', 'partition-isolate'],
  }),
  /** Every message twice, the second time late. */
  'late-snapshots': (drawn) => ({
    ...partitionsOf(drawn),
    cluster: {
      ...withSnapshots(drawn.cluster),
      network: { ...drawn.cluster.network, duplicateProbability: 0.5, slowProbability: 0.1 },
    },
    faults: ['partition-isolate', 'crash'],
  }),
  learners: (drawn) => ({
    cluster: { ...drawn.cluster, voters: 3, learners: 3 },
    faults: ['crash', 'crash-all', 'partition-halves'],
  }),
  /** A leader that stops while answers to it are under way, and goes on when another one leads. */
  paused: ({ cluster }) => ({
    cluster: {
      ...withShortTimeouts(cluster),
      voters: 3,
      network: {
        ...cluster.network,
        dropProbability: 0,
        delayMsMax: 4,
        slowProbability: 0.05,
        slowMsMax: 200,
      },
      drainsLate: false,
    },
    faults: ['pause'],
    faultEveryMsMax: 600,
    faultLastsMsMax: 600,
    proposeEveryMsMax: 4,
    readEveryMsMax: 10,
  }),
  /** A leader that is cut off and does not know yet that another one commits; answers that come late. */
  separated: (drawn) => ({
    ...partitionsOf(drawn),
    cluster: {
      ...drawn.cluster,
      voters: 3,
      network: { ...drawn.cluster.network, dropProbability: 0, slowProbability: 0.1 },
    },
    faults: ['partition-isolate', 'partition-asymmetric', 'transfer'],
    proposeEveryMsMax: 10,
    readEveryMsMax: 10,
  }),
  /** Leaders that go on appending alone, so that logs differ by much. */
  tails: (drawn) => ({
    ...partitionsOf(drawn),
    cluster: { ...withSnapshots(drawn.cluster), voters: 3 },
    faults: ['partition-isolate', 'partition-halves', 'crash-all'],
    proposeEveryMsMax: 4,
  }),
  transfers: () => ({ faults: ['transfer', 'disk-loss', 'crash'] }),
};
