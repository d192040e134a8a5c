/** A long life of one replica's disk, from a seed: legal operations, and the state that each must leave, on plain arrays. */
import { createHash } from 'node:crypto';
import {
  type Entry,
  type LogIndex,
  type Snapshot,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../raft/core/types.ts';
import { Random } from '../../raft/sim/random.ts';
import type { PersistBatch, RaftStorage, Recovered } from '../../raft/storage/storage.ts';
import { command, EMPTY, positions, snapshotAt } from '../unit/raft/storage/contract.ts';

export interface Operation {
  readonly name: string;
  readonly run: (storage: RaftStorage) => Promise<void>;
  /** What `load` returns afterwards, as text. */
  readonly after: string;
}

export const BEFORE: string = textOf({ ...EMPTY, seen: new Map() });

export function operations(seed: number, count: number): Operation[] {
  const random = new Random(seed);
  let model: Recovered = { ...EMPTY, seen: new Map() };
  return Array.from({ length: count }, () => {
    const { name, run, after } = next(model, random);
    model = after;
    return { name, run, after: textOf(after) };
  });
}

/** Two states are the same exactly when their texts are. */
export function textOf({ hardState, snapshot, entries, seen }: Recovered): string {
  const log = entries.map(
    (entry) => `${entry.index}@${entry.term} ${entry.kind === 'command' ? hash(entry.payload) : entry.kind}`,
  );
  const { term, vote, commit } = hardState;
  const state = [term, vote, commit];
  const stored = snapshot && [snapshot.meta.last.term, snapshot.meta.last.index, hash(snapshot.data)];
  return JSON.stringify({ state, stored, configuration: snapshot?.meta.configuration, log, seen: [...seen] });
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

interface Step {
  readonly name: string;
  readonly run: (storage: RaftStorage) => Promise<void>;
  readonly after: Recovered;
}

function next(model: Recovered, random: Random): Step {
  const chance = random.next();
  if (chance < 0.1) {
    const seen = positions([[toReplicaId(random.integer(1, 5)), random.integer(1, 1_000)]]);
    return { name: 'remember', run: (storage) => storage.remember(seen), after: { ...model, seen } };
  }
  if (chance < 0.15) {
    const snapshot = snapshotAt(random.integer(1, 99), 1, random.integer(1, 2_000));
    return { name: 'stage', run: (storage) => storage.stageSnapshot(snapshot), after: model };
  }
  const { name, batch } = nextBatch(model, random, chance);
  return { name, run: (storage) => storage.write(batch), after: { ...model, ...written(model, batch) } };
}

function nextBatch(model: Recovered, random: Random, chance: number): { name: string; batch: PersistBatch } {
  const { hardState } = model;
  const unchanged: PersistBatch = {
    hardState,
    truncateFrom: null,
    entries: [],
    snapshot: null,
    compactTo: null,
  };
  const last = lastIndex(model);
  const newTerm = { ...hardState, term: toTerm(hardState.term + 1), vote: toReplicaId(random.integer(1, 5)) };
  if (chance < 0.3) return { name: 'vote', batch: { ...unchanged, hardState: newTerm } };
  if (chance < 0.4) {
    const keep = random.integer(hardState.commit, last);
    const entries = appended(keep, newTerm.term, random);
    const truncateFrom = toLogIndex(keep + 1);
    return { name: 'overwrite', batch: { ...unchanged, hardState: newTerm, truncateFrom, entries } };
  }
  if (chance < 0.45) {
    const index = last + random.integer(1, 20);
    const snapshot = snapshotAt(index, newTerm.term, random.integer(0, 2_000));
    const installed = { ...newTerm, commit: toLogIndex(index) };
    return {
      name: 'install',
      batch: { ...unchanged, hardState: installed, snapshot, compactTo: toLogIndex(index) },
    };
  }
  const commit = toLogIndex(random.integer(hardState.commit, last));
  const top = model.entries.find(({ index }) => index === commit);
  if (chance < 0.55 && top !== undefined) {
    const snapshot = snapshotAt(top.index, top.term, random.integer(0, 2_000));
    const compactTo = toLogIndex(Math.max(0, commit - random.integer(0, 5)));
    return {
      name: 'compact',
      batch: { ...unchanged, hardState: { ...hardState, commit }, snapshot, compactTo },
    };
  }
  if (chance < 0.65) return { name: 'commit', batch: { ...unchanged, hardState: { ...hardState, commit } } };
  const term = toTerm(Math.max(1, hardState.term));
  const entries = appended(last, term, random);
  return { name: 'append', batch: { ...unchanged, hardState: { ...hardState, term, commit }, entries } };
}

function appended(after: number, term: number, random: Random): Entry[] {
  return Array.from({ length: random.integer(1, 6) }, (_, i) => {
    return command(after + 1 + i, term, 'x'.repeat(random.integer(0, 300)));
  });
}

function written(model: Recovered, batch: PersistBatch): Omit<Recovered, 'seen'> {
  const { truncateFrom, entries, compactTo, hardState } = batch;
  const kept = model.entries.filter(({ index }) => truncateFrom === null || index < truncateFrom);
  const snapshot: Snapshot | null = batch.snapshot ?? model.snapshot;
  return {
    hardState,
    snapshot,
    entries: [...kept, ...entries].filter(({ index }) => index > (compactTo ?? 0)),
  };
}

function lastIndex({ entries, snapshot }: Recovered): LogIndex {
  return entries.at(-1)?.index ?? snapshot?.meta.last.index ?? toLogIndex(0);
}
