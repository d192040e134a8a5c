/** Replicas in one process, on a network and disks in memory, with a state machine to watch. */

import { bootstrapState, EMPTY_STATE } from '../../../../raft/core/bootstrap.ts';
import type { RaftOptions } from '../../../../raft/core/options.ts';
import { type CommandEntry, type Entry, type ReplicaId, toReplicaId } from '../../../../raft/core/types.ts';
import { RaftNode } from '../../../../raft/runtime/node.ts';
import type { StateMachine } from '../../../../raft/runtime/state-machine.ts';
import { MemoryStorage } from '../../../../raft/storage/memory.ts';
import type { RaftStorage } from '../../../../raft/storage/storage.ts';
import { MemoryNetwork } from '../../../../raft/transport/memory.ts';
import type { Transport } from '../../../../raft/transport/transport.ts';

/** Fast, with room for a machine that has other things to do. */
export const FAST: Partial<RaftOptions> = {
  heartbeatMs: 30,
  learnerHeartbeatMs: 60,
  electionTimeoutMsMin: 250,
  electionTimeoutMsMax: 500,
};

/** Keeps every command; the result is how many there are. */
export class Journal implements StateMachine<number> {
  commands: string[] = [];

  apply(entry: CommandEntry): number {
    this.commands.push(Buffer.from(entry.payload).toString());
    return this.commands.length;
  }

  snapshot(): Iterable<Uint8Array> {
    return [Buffer.from(JSON.stringify(this.commands))];
  }

  restore(data: Uint8Array): void {
    this.commands = JSON.parse(Buffer.from(data).toString());
  }
}

export interface Running {
  readonly id: ReplicaId;
  readonly node: RaftNode<number>;
  readonly journal: Journal;
  readonly storage: MemoryStorage;
  readonly errors: Error[];
}

export class Replicas implements AsyncDisposable {
  readonly network: MemoryNetwork = new MemoryNetwork();
  readonly running: Map<ReplicaId, Running> = new Map();

  /** The first is made by `bootstrapState`, or all are voters from the first entry on. */
  static disks(ids: readonly ReplicaId[]): Map<ReplicaId, MemoryStorage> {
    const { hardState, entries } = bootstrapState(ids[0] ?? toReplicaId(1));
    const all: Entry[] = entries.map((entry) =>
      entry.kind === 'configuration'
        ? { ...entry, configuration: { voters: ids, outgoing: [], learners: [] } }
        : entry,
    );
    return new Map(ids.map((id) => [id, new MemoryStorage({ hardState, snapshot: null, entries: all })]));
  }

  static emptyDisk(): MemoryStorage {
    return new MemoryStorage(EMPTY_STATE);
  }

  async start(
    id: ReplicaId,
    storage: MemoryStorage,
    disk: RaftStorage = storage,
    transport: Transport = this.network.transport(id),
  ): Promise<Running> {
    const journal = new Journal();
    const errors: Error[] = [];
    const node = await RaftNode.start({
      id,
      options: FAST,
      storage: disk,
      transport,
      stateMachine: journal,
      onFatal: (error) => errors.push(error),
    });
    const running = { id, node, journal, storage, errors };
    this.running.set(id, running);
    return running;
  }

  async startAll(ids: readonly ReplicaId[]): Promise<void> {
    for (const [id, storage] of Replicas.disks(ids)) await this.start(id, storage);
  }

  get(id: ReplicaId): Running {
    const running = this.running.get(id);
    if (running === undefined) throw new Error(`replica ${id} does not run`);
    return running;
  }

  /** As kill -9: what is not on its disk is gone. Returns the disk. */
  async kill(id: ReplicaId): Promise<MemoryStorage> {
    const { storage, node } = this.get(id);
    const disk = storage.reopened();
    this.running.delete(id);
    this.network.transport(id).onMessage = () => undefined;
    storage.failWrites(new Error('the process is dead'));
    await node.close();
    return disk;
  }

  /** The leader that has the latest term, once there is one. */
  async leader(except: readonly ReplicaId[] = []): Promise<Running> {
    for (;;) {
      const leaders = [...this.running.values()]
        .filter(({ id, node }) => !except.includes(id) && node.status().role === 'leader')
        .toSorted((a, b) => b.node.status().term - a.node.status().term);
      if (leaders[0] !== undefined) return leaders[0];
      await this.transition();
    }
  }

  /** Proposes until it is applied, wherever the leader is. */
  async commit(command: string, except: readonly ReplicaId[] = []): Promise<number> {
    for (;;) {
      const { node } = await this.leader(except);
      const outcome = await node.propose(Buffer.from(command));
      if (outcome.kind === 'applied') return outcome.result;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next change of role, term or leader anywhere. */
  transition(): Promise<void> {
    return new Promise((resolve) => {
      const ends = [...this.running.values()].map(({ node }) =>
        node.onTransition(() => {
          for (const end of ends) end();
          resolve();
        }),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.running.values()].map(({ node }) => node.close()));
  }
}

/** Until `id` has applied `count` commands. */
export function applied({ node, journal }: Running, count: number): Promise<void> {
  return new Promise((resolve) => {
    if (journal.commands.length >= count) {
      resolve();
      return;
    }
    const end = node.onApplied(() => {
      if (journal.commands.length < count) return;
      end();
      resolve();
    });
  });
}
