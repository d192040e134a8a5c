/**
 * A learner that is 100,000 entries behind, over real sockets and databases: it gets a snapshot in many chunks and what was
 * written since, while the voters go on taking commands; also when its connections are cut again and again meanwhile.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { EMPTY_STATE } from '../../../../raft/core/bootstrap.ts';
import { type CommandEntry, toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { RaftNode } from '../../../../raft/runtime/node.ts';
import type { StateMachine } from '../../../../raft/runtime/state-machine.ts';
import { LevelStorage } from '../../../../raft/storage/level.ts';
import { Cluster } from '../transport/members.ts';

const ENTRIES = 100_000;
const IN_FLIGHT = 512;
const KEYS_A_PIECE = 1_000;
const LEARNER = toReplicaId(4);
const VOTERS = [1, 2, 3].map(toReplicaId);

/** Remembers every command, so that the snapshot is large. */
class Ledger implements StateMachine<number> {
  rows: string[] = [];

  apply({ payload }: CommandEntry): number {
    return this.rows.push(Buffer.from(payload).toString());
  }

  *snapshot(): Iterable<Uint8Array> {
    const { rows } = this;
    const end = rows.length;
    for (let from = 0; from < end; from += KEYS_A_PIECE) {
      yield Buffer.from(`${rows.slice(from, Math.min(end, from + KEYS_A_PIECE)).join('\n')}\n`);
    }
  }

  restore(data: Uint8Array): void {
    this.rows = Buffer.from(data).toString().split('\n').slice(0, -1);
  }
}

it('catches up while the cluster serves', { timeout: 180_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'catch-up-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const cluster = await Cluster.of(4);
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const members = await cluster.startAll();
  const configuration = { voters: VOTERS, outgoing: [], learners: [] };
  const [term, index] = [toTerm(1), toLogIndex(1)];
  const genesis = {
    hardState: { term, vote: null, commit: index },
    snapshot: null,
    entries: [{ kind: 'configuration', term, index, configuration }] as const,
  };
  const nodes: { node: RaftNode<number>; ledger: Ledger }[] = [];
  for (const { id, transport } of members) {
    const identity = { cluster: 'test', replica: id };
    const initial = id === LEARNER ? EMPTY_STATE : genesis;
    const storage = await LevelStorage.create(join(directory, `${id}`), identity, initial);
    const ledger = new Ledger();
    const onFatal = (error: Error): void => {
      throw error;
    };
    const node = await RaftNode.start({ id, storage, transport, stateMachine: ledger, onFatal });
    onTestFinished(async () => {
      await node.close();
      await storage.close();
    });
    nodes.push({ node, ledger });
  }
  const voters = nodes.slice(0, 3);
  const learner = nodes[3];
  if (learner === undefined) throw new Error('no learner');
  const leader = await vi.waitFor(
    () => {
      const found = voters.find(({ node }) => node.status().role === 'leader');
      if (found === undefined) throw new Error('nobody leads');
      return found;
    },
    { timeout: 30_000 },
  );

  let next = 0;
  const writeUntil = async (enough: () => boolean): Promise<void> => {
    while (!enough()) {
      const outcome = await leader.node.propose(Buffer.from(`row ${next++} of the ledger`));
      // Overload is refused and not waited for; a lost leadership would fail here.
      if (outcome.kind !== 'busy') expect(outcome.kind).toBe('applied');
    }
  };
  const writers = (enough: () => boolean): Promise<unknown> =>
    Promise.all(Array.from({ length: IN_FLIGHT }, () => writeUntil(enough)));
  await writers(() => next >= ENTRIES);

  const before = leader.ledger.rows.length;
  const change = leader.node.changeConfiguration({ voters: VOTERS, learners: [LEARNER] });
  const cuts = setInterval(() => members[3]?.transport.disconnect(leader.node.status().id), 150);
  onTestFinished(() => clearInterval(cuts));
  setTimeout(() => clearInterval(cuts), 1_000);
  await writers(() => learner.ledger.rows.length >= before);
  expect((await change).kind).toBe('applied');
  expect(leader.ledger.rows.length).toBeGreaterThan(before + IN_FLIGHT);
  await vi.waitFor(() => expect(learner.ledger.rows.length).toBe(leader.ledger.rows.length), {
    timeout: 60_000,
  });
  expect(learner.ledger.rows).toEqual(leader.ledger.rows);
});
