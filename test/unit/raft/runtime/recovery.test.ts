import { describe, expect, test } from 'vitest';
import type { InitialState } from '../../../../raft/core/bootstrap.ts';
import { raftOptions } from '../../../../raft/core/options.ts';
import { RaftCore } from '../../../../raft/core/raft.ts';
import {
  type CommandEntry,
  type Entry,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../../../raft/core/types.ts';
import { oneVoterState, replay, surveySurvivor } from '../../../../raft/runtime/recovery.ts';
import { sha256 } from '../../../../raft/runtime/snapshotter.ts';
import type { StateMachine } from '../../../../raft/runtime/state-machine.ts';
import { MemoryStorage } from '../../../../raft/storage/memory.ts';

const KEEP = { discardUncommitted: false };
const DISCARD = { discardUncommitted: true };

const replicas = (...ids: readonly number[]): ReturnType<typeof toReplicaId>[] => ids.map(toReplicaId);
const configuration = { voters: replicas(1, 2, 3), outgoing: [], learners: replicas(4) };

function command(index: number, term = 2): Entry {
  return {
    kind: 'command',
    term: toTerm(term),
    index: toLogIndex(index),
    payload: new TextEncoder().encode(`c${index}`),
  };
}

function noop(index: number, term: number): Entry {
  return { kind: 'noop', term: toTerm(term), index: toLogIndex(index) };
}

function change(index: number, voters: readonly number[], term = 2): Entry {
  const to = { voters: replicas(...voters), outgoing: [], learners: [] };
  return { kind: 'configuration', term: toTerm(term), index: toLogIndex(index), configuration: to };
}

/** A snapshot at 10, trailing entries below it, and a log to 15 of which 13 is known to be committed. */
function survivor(): InitialState {
  return {
    hardState: { term: toTerm(5), vote: toReplicaId(2), commit: toLogIndex(13) },
    snapshot: {
      meta: { last: { term: toTerm(2), index: toLogIndex(10) }, configuration },
      data: new TextEncoder().encode('to 10'),
      digest: new Uint8Array(32),
    },
    entries: [
      command(9),
      command(10),
      noop(11, 3),
      command(12, 3),
      command(13, 3),
      command(14, 3),
      command(15, 4),
    ],
  };
}

/** Remembers what it was told, in words. */
class Recorder implements StateMachine<void> {
  readonly seen: string[] = [];

  apply({ index, payload }: CommandEntry): void {
    this.seen.push(`${index}:${new TextDecoder().decode(payload)}`);
  }
  snapshot(): never {
    throw new Error('not asked for');
  }
  restore(data: Uint8Array): void {
    this.seen.push(new TextDecoder().decode(data));
  }
}

describe('a survey', () => {
  test('keeps what may have been acknowledged', () => {
    expect(surveySurvivor(survivor(), KEEP)).toMatchObject({
      term: 5,
      last: { term: 4, index: 15 },
      commit: 13,
      kept: { term: 4, index: 15 },
      keptUncommitted: 2,
      dropped: 0,
      configuration,
    });
  });

  test('drops it when told to, and nothing that is known to be committed', () => {
    expect(surveySurvivor(survivor(), DISCARD)).toMatchObject({
      last: { term: 4, index: 15 },
      kept: { term: 3, index: 13 },
      keptUncommitted: 0,
      dropped: 2,
    });
  });

  test('names the configuration in force at the end of what is kept', () => {
    const { entries, ...rest } = survivor();
    const changed = {
      ...rest,
      entries: [change(9, [9]), ...entries.slice(1, 5), change(14, [1, 2], 3), command(15, 4)],
    };
    expect(surveySurvivor(changed, KEEP).configuration.voters).toEqual([1, 2]);
    expect(surveySurvivor(changed, DISCARD).configuration).toEqual(configuration);
  });

  test('takes a log without a snapshot, a snapshot without a log, and nothing', () => {
    const { snapshot, hardState } = survivor();
    const log = { hardState: { ...hardState, commit: toLogIndex(1) }, snapshot: null };
    const young = surveySurvivor({ ...log, entries: [change(1, [1]), command(2)] }, KEEP);
    expect(young).toMatchObject({ kept: { term: 2, index: 2 }, keptUncommitted: 1 });
    expect(young.configuration.voters).toEqual([1]);
    const compacted = { hardState: { ...hardState, commit: toLogIndex(10) }, snapshot, entries: [] };
    expect(surveySurvivor(compacted, DISCARD)).toMatchObject({ kept: { term: 2, index: 10 }, dropped: 0 });
    const empty = { hardState: { ...hardState, commit: toLogIndex(0) }, snapshot: null, entries: [] };
    expect(surveySurvivor(empty, KEEP)).toMatchObject({ kept: { term: 0, index: 0 } });
  });
});

describe('a replay', () => {
  test('applies the snapshot, then every kept command after it once, in order', () => {
    const machine = new Recorder();
    replay(surveySurvivor(survivor(), KEEP), machine);
    expect(machine.seen).toEqual(['to 10', '12:c12', '13:c13', '14:c14', '15:c15']);
  });

  test('stops where the rest is dropped', () => {
    const machine = new Recorder();
    replay(surveySurvivor(survivor(), DISCARD), machine);
    expect(machine.seen).toEqual(['to 10', '12:c12', '13:c13']);
  });
});

describe('the first state of the new cluster', () => {
  const state = (): InitialState => {
    const { kept, term } = surveySurvivor(survivor(), KEEP);
    return oneVoterState(kept, term, toReplicaId(8), new Uint8Array([1]));
  };

  test('is a snapshot at the end of what was kept, in a term above all that were seen', () => {
    expect(state()).toMatchObject({
      hardState: { term: 6, vote: null, commit: 15 },
      snapshot: {
        meta: { last: { term: 4, index: 15 }, configuration: { voters: [8], outgoing: [], learners: [] } },
        data: new Uint8Array([1]),
      },
      entries: [],
    });
  });

  test('starts a replica that elects itself and commits', async () => {
    const recovered = new MemoryStorage(state()).recover();
    const core = new RaftCore({
      id: toReplicaId(8),
      options: raftOptions({}),
      ...recovered,
      digest: sha256,
      random: () => 0,
      now: 0,
    });
    core.takeEffects();
    core.tick(10_000);
    for (let round = 0; round < 5; round++) {
      const { persist, apply } = core.takeEffects();
      if (persist !== null) core.persisted(persist.seq, 10_000);
      const last = apply.at(-1);
      if (last !== undefined) core.applied(last.index);
    }
    expect(core.status).toMatchObject({ role: 'leader', commit: 16 });
    expect(core.status.term).toBeGreaterThan(6);
  });

  test('cannot be made of nothing', () => {
    const last = { term: toTerm(0), index: toLogIndex(0) };
    expect(() => oneVoterState(last, toTerm(0), toReplicaId(2), new Uint8Array())).toThrow(/without entries/);
  });
});
