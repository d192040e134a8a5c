import { describe, expect, it, vi } from 'vitest';
import { InvariantError, type ReplicaId, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { SNAPSHOT_ENTRIES } from '../../../../raft/limits.ts';
import { RaftNode } from '../../../../raft/runtime/node.ts';
import type { MemoryStorage } from '../../../../raft/storage/memory.ts';
import {
  type PersistBatch,
  type RaftStorage,
  StorageDamagedError,
} from '../../../../raft/storage/storage.ts';
import { RolledBackError } from '../../../../raft/transport/errors.ts';
import { MemoryNetwork } from '../../../../raft/transport/memory.ts';
import { applied, FAST, Journal, Replicas } from './replicas.ts';

const ids = [1, 2, 3].map(toReplicaId);
const [one, two, three] = [toReplicaId(1), toReplicaId(2), toReplicaId(3)];
const patience = { timeout: 20_000 };

/** A disk whose writes wait until they are let through. */
class GatedStorage implements RaftStorage {
  readonly writes: PersistBatch[] = [];
  isOpen = true;
  readonly #disk: MemoryStorage;
  #waiting: (() => void)[] = [];

  constructor(disk: MemoryStorage) {
    this.#disk = disk;
  }

  open(): void {
    this.isOpen = true;
    for (const release of this.#waiting) release();
    this.#waiting = [];
  }

  get position(): RaftStorage['position'] {
    return this.#disk.position;
  }

  load(): ReturnType<RaftStorage['load']> {
    return this.#disk.load();
  }

  async write(batch: PersistBatch): Promise<void> {
    this.writes.push(batch);
    if (!this.isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    await this.#disk.write(batch);
  }

  stageSnapshot(...snapshot: Parameters<RaftStorage['stageSnapshot']>): Promise<void> {
    return this.#disk.stageSnapshot(...snapshot);
  }

  remember(...seen: Parameters<RaftStorage['remember']>): Promise<void> {
    return this.#disk.remember(...seen);
  }

  close(): Promise<void> {
    return this.#disk.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function diskOf(id: ReplicaId): MemoryStorage {
  const disk = Replicas.disks([id]).get(id);
  if (disk === undefined) throw new Error('no disk');
  return disk;
}

describe('three replicas', patience, () => {
  it('elect a leader and apply the same commands in the same order', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    const { node } = await replicas.leader();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => node.propose(Buffer.from(`command ${i}`))),
    );
    expect(outcomes.map((outcome) => outcome.kind === 'applied' && outcome.result)).toEqual(
      outcomes.map((_, i) => i + 1),
    );
    await Promise.all(ids.map((id) => applied(replicas.get(id), 100)));
    const journals = ids.map((id) => replicas.get(id).journal.commands);
    expect(journals[1]).toEqual(journals[0]);
    expect(journals[2]).toEqual(journals[0]);
  });

  it('tell who asks a follower where the leader is', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('first');
    const leader = await replicas.leader();
    const follower = replicas.get(leader.id === one ? two : one);
    await applied(follower, 1);
    expect(await follower.node.propose(Buffer.from('x'))).toEqual({ kind: 'not-leader', leader: leader.id });
    expect(await follower.node.changeConfiguration({ voters: [one], learners: [] })).toEqual({
      kind: 'not-leader',
      leader: leader.id,
    });
  });

  it('go on without their leader, and take it back with everything it missed', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('before');
    const { id } = await replicas.leader();
    const disk = await replicas.kill(id);
    await replicas.commit('meanwhile');
    const restarted = await replicas.start(id, disk);
    await replicas.commit('after');
    await applied(restarted, 3);
    expect(restarted.journal.commands).toEqual(['before', 'meanwhile', 'after']);
  });

  it('answer `lost` for what a cut-off leader appended and another replaced', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('first');
    const old = await replicas.leader();
    replicas.network.isolate(old.id);
    const orphan = old.node.propose(Buffer.from('never acknowledged'));
    await replicas.commit('second', [old.id]);
    replicas.network.heal();
    expect(await orphan).toEqual({ kind: 'lost' });
    await replicas.commit('third');
    await applied(old, 3);
    expect(old.journal.commands).toEqual(['first', 'second', 'third']);
  });

  it('answer `lost` in bounded time when nobody can tell any more', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('first');
    const old = await replicas.leader();
    replicas.network.isolate(old.id);
    expect(await old.node.propose(Buffer.from('into the void'))).toEqual({ kind: 'lost' });
  });

  it('end a transfer in bounded time when nobody leads any more', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('first');
    const { id, node } = await replicas.leader();
    replicas.network.isolate(id);
    const outcomes = [];
    // Until it steps down: the last one started is one that its leadership did not outlive.
    while (node.status().role === 'leader') {
      outcomes.push(node.transferLeadership(id === one ? two : one));
      await new Promise(setImmediate);
    }
    const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind !== 'in-progress')).toContain('timed-out');
    expect(kinds).not.toContain('transferred');
  });

  it('catch a replica up by a snapshot that it lacks the log for', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('0');
    const leader = await replicas.leader();
    const late = ids.find((id) => id !== leader.id) ?? one;
    const disk = await replicas.kill(late);
    const count = 12 * SNAPSHOT_ENTRIES;
    for (let i = 1; i < count; i += 500)
      await Promise.all(
        Array.from({ length: 500 }, (_, n) => leader.node.propose(Buffer.from(String(i + n)))),
      );
    const expected = leader.journal.commands.length;
    const restarted = await replicas.start(late, disk);
    const restore = vi.spyOn(restarted.journal, 'restore');
    await applied(restarted, expected);
    expect(restore).toHaveBeenCalled();
    expect(restarted.journal.commands).toEqual(leader.journal.commands);
  });
});

describe('a lone voter', patience, () => {
  it('rebuilds its state before start resolves, from snapshot and log', async () => {
    await using replicas = new Replicas();
    await replicas.start(one, diskOf(one));
    const count = SNAPSHOT_ENTRIES + 10;
    await Promise.all(Array.from({ length: count }, (_, i) => replicas.commit(`command ${i}`)));
    const { node, storage, journal } = replicas.get(one);
    await vi.waitFor(() => expect(storage.snapshot?.meta.last.index).toBeGreaterThan(0), patience);
    await replicas.commit('after the snapshot');
    await node.close();
    const restarted = await replicas.start(one, storage.reopened());
    expect(restarted.journal.commands).toEqual(journal.commands);
    expect(await replicas.commit('one more')).toBe(count + 2);
  });

  it('becomes three by one change, which is over when its joint phase is', async () => {
    await using replicas = new Replicas();
    const { node } = await replicas.start(one, diskOf(one));
    await replicas.commit('first');
    for (const id of [two, three]) await replicas.start(id, Replicas.emptyDisk());
    expect(await node.changeConfiguration({ voters: [one], learners: [two, three] })).toMatchObject({
      kind: 'applied',
    });
    expect(await node.changeConfiguration({ voters: ids, learners: [] })).toMatchObject({
      kind: 'applied',
      configuration: { voters: ids, outgoing: [], learners: [] },
    });
    expect(node.status().configuration.outgoing).toEqual([]);
    await replicas.kill(one);
    await replicas.commit('second');
    expect(replicas.get(two).journal.commands).toContain('first');
  });
});

describe('a replica whose peers are gone', patience, () => {
  it('knows after a restart what was committed, because idle commits are written too', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('committed');
    await Promise.all(ids.map((id) => applied(replicas.get(id), 1)));
    await vi.waitFor(() => {
      for (const id of ids) {
        const { storage } = replicas.get(id);
        expect(storage.hardState.commit).toBe(storage.last.index);
      }
    }, patience);
    const disks = await Promise.all(ids.map((id) => replicas.kill(id)));
    for (const [i, id] of ids.entries()) {
      const storage = disks[i];
      if (storage === undefined) throw new Error('no disk');
      await using alone = new Replicas();
      const { journal } = await alone.start(id, storage);
      expect(journal.commands).toEqual(['committed']);
    }
  });
});

describe('the disk', patience, () => {
  it('is written once for everything that waits', async () => {
    await using replicas = new Replicas();
    const disk = diskOf(one);
    const gate = new GatedStorage(disk);
    const { node } = await replicas.start(one, disk, gate);
    await replicas.commit('warm');
    gate.writes.length = 0;
    gate.isOpen = false;
    const outcomes: Promise<unknown>[] = [];
    for (let turn = 0; turn < 20; turn++) {
      outcomes.push(node.propose(Buffer.from('a')), node.propose(Buffer.from('b')));
      await new Promise((resolve) => setImmediate(resolve));
    }
    gate.open();
    expect(await Promise.all(outcomes)).toHaveLength(40);
    const withEntries = gate.writes.filter(({ entries }) => entries.length > 0);
    expect(withEntries.map(({ entries }) => entries.length)).toEqual([2, 38]);
  });

  it('takes entries while a snapshot is written, ahead of the write that names it', async () => {
    await using replicas = new Replicas();
    const disk = diskOf(one);
    const gate = new GatedStorage(disk);
    let goOn = (): void => {};
    const staged = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const stage = vi.spyOn(gate, 'stageSnapshot').mockReturnValue(staged);
    const { node } = await replicas.start(one, disk, gate);
    await replicas.commit('first');
    await Promise.all(Array.from({ length: SNAPSHOT_ENTRIES }, () => node.propose(Buffer.from('x'))));
    await vi.waitFor(() => expect(stage).toHaveBeenCalledTimes(1), patience);
    await replicas.commit('meanwhile');
    const written = (): unknown[] => gate.writes.flatMap(({ snapshot }) => snapshot ?? []);
    expect(written()).toEqual([]);
    goOn();
    await vi.waitFor(() => expect(written()).toEqual([stage.mock.lastCall?.[0]]), patience);
  });

  it('holds a vote and an acknowledgement before anybody hears of them', async () => {
    const network = new MemoryNetwork();
    const disk = Replicas.disks(ids).get(one);
    if (disk === undefined) throw new Error('no disk');
    const gate = new GatedStorage(disk);
    gate.isOpen = false;
    const transport = network.transport(one);
    await using node = await RaftNode.start({
      id: one,
      options: { ...FAST, electionTimeoutMsMax: 90_000 },
      storage: gate,
      transport,
      stateMachine: new Journal(),
      onFatal: () => undefined,
      random: () => 0.99,
    });
    const { term, last } = node.status();
    // The first ones come too early: it has only just been started again.
    await vi.waitFor(() => {
      transport.onMessage({
        kind: 'vote-request',
        from: two,
        to: one,
        term: toTerm(term + 1),
        last,
        transfer: false,
      });
      expect(gate.writes).toHaveLength(1);
    }, patience);
    expect(gate.writes[0]?.hardState).toMatchObject({ vote: two });
    expect(network.sent).toEqual([]);
    gate.open();
    await vi.waitFor(() => expect(network.sent).not.toEqual([]), patience);
    expect(network.sent[0]).toMatchObject({ kind: 'vote-response', granted: true, to: two });
  });

  it('that fails a write stops the replica for good', async () => {
    await using replicas = new Replicas();
    await replicas.startAll(ids);
    await replicas.commit('first');
    const leader = await replicas.leader();
    leader.storage.failWrites(new Error('EIO'));
    expect(await leader.node.propose(Buffer.from('second'))).toEqual({ kind: 'lost' });
    expect(leader.errors.map(({ message }) => message)).toEqual(['EIO']);
    const count = replicas.network.sent.filter(({ from }) => from === leader.id).length;
    await replicas.commit('third', [leader.id]);
    expect(replicas.network.sent.filter(({ from }) => from === leader.id)).toHaveLength(count);
    expect(await leader.node.propose(Buffer.from('fourth'))).toEqual({ kind: 'not-leader', leader: null });
    expect(leader.errors).toHaveLength(1);
  });

  it('that is damaged stops the start', async () => {
    await using replicas = new Replicas();
    const disk = diskOf(one);
    disk.damage('a record does not verify');
    await expect(replicas.start(one, disk)).rejects.toThrow(StorageDamagedError);
  });
});

describe('a broken invariant', patience, () => {
  it('stops the replica and says so', async () => {
    await using replicas = new Replicas();
    const { node, journal, errors } = await replicas.start(one, diskOf(one));
    await replicas.commit('first');
    vi.spyOn(journal, 'apply').mockImplementation(() => {
      throw new InvariantError('the state machine met what it cannot apply');
    });
    expect(await node.propose(Buffer.from('second'))).toEqual({ kind: 'lost' });
    expect(errors).toEqual([expect.any(InvariantError)]);
  });
});

describe('a replica that is started again', patience, () => {
  it.each([
    ['lets its peers speak before it votes', Replicas.disks(ids).get(one), false],
    ['votes at once when it was never there before', Replicas.emptyDisk(), true],
  ])('%s', async (_, disk, granted) => {
    if (disk === undefined) throw new Error('no disk');
    const network = new MemoryNetwork();
    const transport = network.transport(one);
    await using node = await RaftNode.start({
      id: one,
      options: { ...FAST, electionTimeoutMsMin: 60_000, electionTimeoutMsMax: 90_000 },
      storage: disk,
      transport,
      stateMachine: new Journal(),
      onFatal: () => undefined,
    });
    const { term, last } = node.status();
    const nextTerm = toTerm(term + 1);
    transport.onMessage({ kind: 'pre-vote-request', from: two, to: one, term, nextTerm, last });
    await vi.waitFor(() => expect(network.sent).toHaveLength(1), patience);
    expect(network.sent[0]).toMatchObject({ kind: 'pre-vote-response', granted });
  });

  it('tells the transport what it had seen of its peers', async () => {
    const disk = diskOf(one);
    const network = new MemoryNetwork();
    const transport = network.transport(one);
    const options = {
      id: one,
      transport,
      stateMachine: new Journal(),
      onFatal: () => undefined,
    };
    const seen = new Map([[two, { writeSequence: 120, term: toTerm(7) }]]);
    await using first = await RaftNode.start({ ...options, storage: disk });
    transport.onSeen(seen);
    await first.close();
    const recall = vi.spyOn(transport, 'recall');
    await using _ = await RaftNode.start({ ...options, storage: disk.reopened() });
    expect(recall).toHaveBeenCalledWith(seen);
  });

  it('stops for good when a peer remembers more of its disk than is there', async () => {
    await using replicas = new Replicas();
    const transport = replicas.network.transport(one);
    const disk = diskOf(one);
    const { node, errors } = await replicas.start(one, disk, disk, transport);
    await replicas.commit('first');
    const low = { writeSequence: 2, term: toTerm(2) };
    const error = new RolledBackError(one, low, { writeSequence: 9, term: toTerm(2) });
    transport.onRolledBack(error);
    expect(errors).toEqual([error]);
    expect(await node.propose(Buffer.from('second'))).toEqual({ kind: 'not-leader', leader: null });
  });
});

describe('close', patience, () => {
  it('waits for the write that is under way and answers who waits', async () => {
    await using replicas = new Replicas();
    const disk = diskOf(one);
    const gate = new GatedStorage(disk);
    const { node, errors } = await replicas.start(one, disk, gate);
    await replicas.commit('first');
    gate.isOpen = false;
    const waiting = node.propose(Buffer.from('second'));
    await vi.waitFor(() => expect(gate.writes.at(-1)?.entries).toHaveLength(1), patience);
    let isClosed = false;
    const closing = node.close().then(() => {
      isClosed = true;
    });
    expect(await waiting).toEqual({ kind: 'lost' });
    expect(isClosed).toBe(false);
    gate.open();
    await closing;
    await node.close();
    expect(errors).toEqual([]);
  });
});
