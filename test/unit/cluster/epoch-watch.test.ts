import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { EpochWatch } from '../../../src/cluster/epoch-watch.ts';
import type { ProbeAnswer } from '../../../src/cluster/rpc.ts';
import { toIp } from '../../../src/net/ip.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import { recordingLog } from '../control/fake-agent.ts';
import { Cluster } from '../raft/transport/members.ts';
import { profile, cluster as subnetCluster } from '../subnet/samples.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => vi.useRealTimers());

const OURS = { clusterId: 'c1', epoch: 4 };

interface Stranger {
  readonly name: string;
  readonly says: Pick<ProbeAnswer, 'clusterId' | 'epoch'>;
  /** Does the member record hold the key that it has? */
  readonly hasTheKey: boolean;
}

/** A host of each kind, asked in this order, none of them connected. */
async function watching(
  strangers: readonly Stranger[],
): Promise<{ watch: EpochWatch; end: () => Promise<void> }> {
  const hosts = await Cluster.of(strangers.length);
  const members = new Map<ReturnType<typeof profile>['nodeId'], object>();
  for (const [i, { name, says, hasTheKey }] of strangers.entries()) {
    const id = toReplicaId(i + 1);
    const answer: ProbeAnswer = {
      kind: 'probe',
      state: 'member',
      ...says,
      address: toIp('127.0.0.1'),
      peers: [],
      isLeader: false,
      leader: null,
      missing: [],
    };
    const { transport } = await hosts.start(id, {
      onRequest: async () => Buffer.from(JSON.stringify(answer)),
    });
    const publicKey = hasTheKey ? (hosts.publicKeys.get(id) ?? '') : profile(i + 1).publicKey;
    const place = { name, publicKey, address: toIp('127.0.0.1'), port: transport.port };
    const record = { ...profile(i + 1), ...place, replicaId: id, joinedAt: toClusterTime(0) };
    members.set(record.nodeId, record);
  }
  const state: ClusterState = Object.assign({}, subnetCluster(1).state, { members });
  const peers = () =>
    hosts.ids.map((replica) => ({
      replica,
      connected: false,
      lastHeardMs: null,
      endpoint: null,
      datagrams: 'ok' as const,
    }));
  const watch = new EpochWatch({ peers, state }, OURS, recordingLog().log);
  return {
    watch,
    end: async () => {
      watch[Symbol.dispose]();
      await hosts[Symbol.asyncDispose]();
    },
  };
}

test('only a newer epoch of the same cluster counts, and only from who holds the key of the member', async () => {
  const newer = { ...OURS, epoch: 5 };
  const { watch, end } = await watching([
    { name: 'another-key', says: newer, hasTheKey: false },
    { name: 'another-cluster', says: { ...newer, clusterId: 'c2' }, hasTheKey: true },
    { name: 'same-epoch', says: OURS, hasTheKey: true },
    { name: 'older-epoch', says: { ...OURS, epoch: 3 }, hasTheKey: true },
    { name: 'the-right-one', says: newer, hasTheKey: true },
  ]);
  while (watch.problem === null) {
    vi.advanceTimersByTime(2_000);
    await delay(5);
  }
  expect(watch.problem).toMatchObject({
    code: 'newer-epoch',
    text: expect.stringContaining('the-right-one is in epoch 5, this host is in epoch 4'),
  });
  await end();
});
