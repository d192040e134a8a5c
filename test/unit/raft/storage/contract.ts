/** What every RaftStorage does, run for each implementation. */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { InitialState } from '../../../../raft/core/bootstrap.ts';
import {
  type Configuration,
  type Entry,
  type ReplicaId,
  type Snapshot,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../../../raft/core/types.ts';
import type { PeerPositions, PersistBatch, RaftStorage } from '../../../../raft/storage/storage.ts';

/** One disk that can be opened again and again. */
export interface StorageUnderTest {
  open(): Promise<RaftStorage>;
  dispose(): Promise<void>;
}

export const EMPTY: InitialState = {
  hardState: { term: toTerm(0), vote: null, commit: toLogIndex(0) },
  snapshot: null,
  entries: [],
};

const CONFIGURATION: Configuration = { voters: [1, 2, 3].map(toReplicaId), outgoing: [], learners: [] };

export function command(index: number, term: number, text = `${index}@${term}`): Entry {
  return { kind: 'command', index: toLogIndex(index), term: toTerm(term), payload: Buffer.from(text) };
}

export function snapshotAt(index: number, term: number, bytes = 8): Snapshot {
  const meta = { last: { index: toLogIndex(index), term: toTerm(term) }, configuration: CONFIGURATION };
  const data = Buffer.alloc(bytes, index);
  return { meta, data, digest: createHash('sha256').update(data).digest() };
}

interface Change {
  term: number;
  vote?: number;
  commit?: number;
  truncateFrom?: number;
  entries?: Entry[];
  snapshot?: Snapshot;
  compactTo?: number;
}

export function batch(change: Change): PersistBatch {
  const { term, vote, commit, truncateFrom, entries, snapshot, compactTo } = change;
  return {
    hardState: {
      term: toTerm(term),
      vote: vote === undefined ? null : toReplicaId(vote),
      commit: toLogIndex(commit ?? 0),
    },
    truncateFrom: truncateFrom === undefined ? null : toLogIndex(truncateFrom),
    entries: entries ?? [],
    snapshot: snapshot ?? null,
    compactTo: compactTo === undefined ? null : toLogIndex(compactTo),
  };
}

/** Bytes as text: a Buffer is not equal to a Uint8Array for `toEqual`, and large ones are slow. */
function plain({ hardState, snapshot, entries }: InitialState): unknown {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    hardState,
    snapshot: snapshot === null ? null : { meta: snapshot.meta, data: text(snapshot.data) },
    entries: entries.map((entry) =>
      entry.kind === 'command' ? { ...entry, payload: text(entry.payload) } : entry,
    ),
  };
}

export function positions(of: [replica: ReplicaId, writeSequence: number][]): PeerPositions {
  return new Map(of.map(([replica, writeSequence]) => [replica, { writeSequence, term: toTerm(1) }]));
}

export async function expectSame(storage: RaftStorage, expected: InitialState): Promise<void> {
  expect(plain(await storage.load())).toEqual(plain(expected));
}

export function storageContract(name: string, make: () => Promise<StorageUnderTest>): void {
  /** Writes the batches, then checks what is there, before and after opening again. */
  async function check(batches: PersistBatch[], expected: Partial<InitialState>): Promise<void> {
    const disk = await make();
    try {
      const last = batches.at(-1);
      const whole = { ...EMPTY, hardState: last?.hardState ?? EMPTY.hardState, ...expected };
      for (const reopened of [false, true]) {
        await using storage = await disk.open();
        await storage.load();
        if (!reopened) for (const one of batches) await storage.write(one);
        await expectSame(storage, whole);
      }
    } finally {
      await disk.dispose();
    }
  }
  const three = [command(1, 1), command(2, 1), command(3, 2)];

  describe(name, () => {
    it('starts as it was made', () => check([], {}));

    it('keeps the newest hard state', () =>
      check([batch({ term: 1, vote: 1 }), batch({ term: 2, vote: 3 }), batch({ term: 3 })], {}));

    it('keeps entries of every kind', () => {
      const entries: Entry[] = [
        { kind: 'configuration', index: toLogIndex(1), term: toTerm(1), configuration: CONFIGURATION },
        { kind: 'noop', index: toLogIndex(2), term: toTerm(1) },
        command(3, 1, ''),
      ];
      return check([batch({ term: 1, commit: 3, entries })], { entries });
    });

    it('truncates and appends in one batch', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({ term: 3, truncateFrom: 2, entries: [command(2, 3), command(3, 3), command(4, 3)] }),
        ],
        { entries: [command(1, 1), command(2, 3), command(3, 3), command(4, 3)] },
      ));

    it('truncates without a successor', () =>
      check([batch({ term: 2, entries: three }), batch({ term: 2, truncateFrom: 1 })], {}));

    it('compacts behind a snapshot and keeps the entries that trail', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({ term: 2, commit: 2, snapshot: snapshotAt(2, 1), compactTo: 1 }),
          batch({ term: 2, commit: 3, entries: [command(4, 2)] }),
        ],
        { snapshot: snapshotAt(2, 1), entries: [command(2, 1), command(3, 2), command(4, 2)] },
      ));

    it('compacts entries of the same batch', () =>
      check([batch({ term: 2, commit: 3, entries: three, snapshot: snapshotAt(2, 1), compactTo: 2 })], {
        snapshot: snapshotAt(2, 1),
        entries: [command(3, 2)],
      }));

    it('takes a snapshot over a shorter log, and entries after it', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({ term: 5, commit: 9, snapshot: snapshotAt(9, 4), compactTo: 9 }),
          batch({ term: 5, commit: 9, entries: [command(10, 5)] }),
        ],
        { snapshot: snapshotAt(9, 4), entries: [command(10, 5)] },
      ));

    it('takes a snapshot in place of a log that contradicts it', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({ term: 5, commit: 2, truncateFrom: 1, snapshot: snapshotAt(2, 4), compactTo: 2 }),
        ],
        { snapshot: snapshotAt(2, 4) },
      ));

    it('takes a snapshot in place of a log that contradicts it and ends there', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({ term: 5, commit: 2, truncateFrom: 3, snapshot: snapshotAt(2, 4), compactTo: 2 }),
        ],
        { snapshot: snapshotAt(2, 4) },
      ));

    it('takes a snapshot in place of a last entry that contradicts it, and the next entry with it', () =>
      check(
        [
          batch({ term: 2, entries: three }),
          batch({
            term: 5,
            commit: 3,
            snapshot: snapshotAt(3, 4),
            compactTo: 3,
            entries: [command(4, 5)],
          }),
        ],
        { snapshot: snapshotAt(3, 4), entries: [command(4, 5)] },
      ));

    it('replaces a large snapshot by a small one and by a large one', () => {
      const large = snapshotAt(1, 1, (2 << 20) + 1);
      const newest = snapshotAt(3, 2, 3 << 20);
      return check(
        [
          batch({ term: 2, commit: 1, entries: three, snapshot: large, compactTo: 1 }),
          batch({ term: 2, commit: 2, snapshot: snapshotAt(2, 1, 0), compactTo: 1 }),
          batch({ term: 2, commit: 3, snapshot: newest, compactTo: 3 }),
        ],
        { snapshot: newest },
      );
    });

    it.each([
      ['a gap', batch({ term: 2, entries: [command(5, 2)] })],
      ['a term that goes back', batch({ term: 2, entries: [command(4, 1)] })],
      ['a commit beyond the log', batch({ term: 2, commit: 4 })],
      ['a term below the last entry', batch({ term: 1 })],
      ['a compaction without a snapshot', batch({ term: 2, commit: 3, compactTo: 2 })],
      ['a snapshot that is not committed', batch({ term: 2, commit: 1, snapshot: snapshotAt(2, 1) })],
      [
        'a kept log that contradicts the snapshot',
        batch({ term: 9, commit: 2, snapshot: snapshotAt(2, 9), compactTo: 2 }),
      ],
    ])('refuses %s', async (_name, wrong) => {
      const disk = await make();
      try {
        await using storage = await disk.open();
        await storage.load();
        await storage.write(batch({ term: 2, entries: three }));
        await expect(storage.write(wrong)).rejects.toThrow(/./);
      } finally {
        await disk.dispose();
      }
    });

    it('refuses to cut into what a snapshot covers', async () => {
      const disk = await make();
      try {
        await using storage = await disk.open();
        await storage.load();
        await storage.write(
          batch({ term: 2, commit: 2, entries: three, snapshot: snapshotAt(2, 1), compactTo: 2 }),
        );
        await expect(storage.write(batch({ term: 2, commit: 2, truncateFrom: 2 }))).rejects.toThrow(
          'truncation',
        );
      } finally {
        await disk.dispose();
      }
    });

    it('refuses writes after close', async () => {
      const disk = await make();
      try {
        const storage = await disk.open();
        await storage.load();
        await storage.close();
        await storage.close();
        await expect(storage.write(batch({ term: 1 }))).rejects.toThrow('closed');
        await expect(storage.remember(positions([]))).rejects.toThrow('closed');
        await expect(storage.stageSnapshot(snapshotAt(1, 1))).rejects.toThrow('closed');
      } finally {
        await disk.dispose();
      }
    });

    it('stands one write further with each write, also after a restart', async () => {
      const disk = await make();
      try {
        const found: unknown[] = [];
        for (const term of [3, 5]) {
          await using storage = await disk.open();
          await storage.load();
          await storage.write(batch({ term, vote: 1 }));
          await storage.stageSnapshot(snapshotAt(9, term));
          await storage.remember(positions([[toReplicaId(2), term]]));
          await storage.write(batch({ term, vote: 1, entries: [command(term === 3 ? 1 : 2, term)] }));
          found.push(storage.position);
        }
        expect(found).toEqual([
          { writeSequence: 3, term: 3 },
          { writeSequence: 5, term: 5 },
        ]);
        await using storage = await disk.open();
        await storage.load();
        expect(storage.position).toEqual(found[1]);
      } finally {
        await disk.dispose();
      }
    });

    it('shows nothing of a snapshot that is only staged, and writes go on meanwhile', async () => {
      const disk = await make();
      try {
        const [early, late] = [snapshotAt(2, 1, 600_000), snapshotAt(3, 2, 600_000)];
        for (const reopened of [false, true]) {
          await using storage = await disk.open();
          await storage.load();
          if (!reopened) await storage.write(batch({ term: 2, commit: 3, entries: three }));
          await Promise.all([
            storage.stageSnapshot(early),
            storage.stageSnapshot(late),
            storage.write(batch({ term: reopened ? 4 : 3, commit: 3 })),
          ]);
          await expectSame(storage, {
            hardState: batch({ term: reopened ? 4 : 3, commit: 3 }).hardState,
            snapshot: null,
            entries: three,
          });
        }
        await using storage = await disk.open();
        await storage.load();
        await storage.stageSnapshot(early);
        const last = batch({ term: 5, commit: 3, snapshot: early, compactTo: 2 });
        await storage.write(last);
        const expected = { hardState: last.hardState, snapshot: early, entries: three.slice(2) };
        await expectSame(storage, expected);
      } finally {
        await disk.dispose();
      }
    });

    it('writes a snapshot while the next ones are staged', async () => {
      const disk = await make();
      try {
        await using storage = await disk.open();
        await storage.load();
        await storage.write(batch({ term: 2, commit: 3, entries: three }));
        const all = [snapshotAt(1, 1, 300_000), snapshotAt(2, 1, 300_000), snapshotAt(3, 2, 300_000)];
        await storage.stageSnapshot(snapshotAt(1, 1, 300_000));
        for (const [i, snapshot] of all.entries()) {
          const write = storage.write(batch({ term: 2, commit: 3, snapshot, compactTo: i + 1 }));
          const others = all.slice(i + 1).map((next) => storage.stageSnapshot(next));
          await Promise.all([write, ...others]);
          const { hardState } = batch({ term: 2, commit: 3 });
          await expectSame(storage, { hardState, snapshot, entries: three.slice(i + 1) });
        }
      } finally {
        await disk.dispose();
      }
    });

    it('remembers what it was told last, and only that', async () => {
      const disk = await make();
      try {
        const [two, four] = [toReplicaId(2), toReplicaId(4)];
        for (const seen of [
          positions([[two, 7]]),
          positions([]),
          positions([
            [four, 1],
            [two, 9],
          ]),
        ]) {
          {
            await using storage = await disk.open();
            await storage.load();
            await storage.remember(positions([[two, 1]]));
            await Promise.all([storage.remember(positions([])), storage.remember(seen)]);
          }
          await using storage = await disk.open();
          expect((await storage.load()).seen).toEqual(seen);
        }
      } finally {
        await disk.dispose();
      }
    });

    it('is a log, whatever is written in whatever order', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const disk = await make();
          try {
            let model: InitialState = EMPTY;
            let seen: PeerPositions = new Map();
            for (const half of [steps.slice(0, steps.length / 2), steps.slice(steps.length / 2)]) {
              await using storage = await disk.open();
              await storage.load();
              for (const one of half) {
                const { write, after } = follow(model, one);
                const beside: Promise<void>[] = [];
                if (one.staged !== null) beside.push(storage.stageSnapshot(snapshotAt(one.staged + 1, 1)));
                if (one.seen !== null) {
                  seen = positions([[toReplicaId(one.seen + 1), one.seen]]);
                  beside.push(storage.remember(seen));
                }
                await Promise.all([...beside, storage.write(write)]);
                model = after;
              }
              await expectSame(storage, model);
              expect((await storage.load()).seen).toEqual(seen);
            }
          } finally {
            await disk.dispose();
          }
        }),
        { numRuns: 30 },
      );
    }, 60_000);
  });
}

/** A random legal write: numbers that `follow` brings into range. */
interface Step {
  truncate: number | null;
  append: number;
  snapshot: number | null;
  trailing: number;
  install: boolean;
  /** What happens beside it. */
  staged: number | null;
  seen: number | null;
}

const step: fc.Arbitrary<Step> = fc.record({
  truncate: fc.option(fc.nat({ max: 4 }), { freq: 3 }),
  append: fc.nat({ max: 5 }),
  snapshot: fc.option(fc.nat({ max: 5 }), { freq: 3 }),
  trailing: fc.nat({ max: 3 }),
  install: fc.boolean(),
  staged: fc.option(fc.nat({ max: 9 }), { freq: 3 }),
  seen: fc.option(fc.nat({ max: 9 }), { freq: 3 }),
});

/** The batch that the step asks of this log, and the log after it, computed on plain arrays. */
function follow(model: InitialState, wish: Step): { write: PersistBatch; after: InitialState } {
  const term = model.hardState.term + 1;
  const covered = model.snapshot?.meta.last.index ?? 0;
  const all = new Map(model.entries.map((entry) => [Number(entry.index), entry]));
  let last = Math.max(covered, ...all.keys());
  const change: Change = { term };
  if (wish.install && wish.snapshot !== null) {
    const at = last + 1 + wish.snapshot;
    const snapshot = snapshotAt(at, term);
    const write = batch({ term, commit: at, snapshot, compactTo: at });
    return { write, after: { hardState: write.hardState, snapshot, entries: [] } };
  }
  if (wish.truncate !== null) {
    const from = Math.max(model.hardState.commit, last - wish.truncate) + 1;
    for (let i = from; i <= last; i++) all.delete(i);
    last = from - 1;
    change.truncateFrom = from;
  }
  change.entries = Array.from({ length: wish.append }, (_, i) => command(last + 1 + i, term));
  for (const entry of change.entries) all.set(entry.index, entry);
  last += wish.append;
  change.commit = Math.max(model.hardState.commit, Math.min(last, covered + (wish.snapshot ?? 0)));
  const top = all.get(change.commit);
  if (wish.snapshot !== null && top !== undefined) {
    change.snapshot = snapshotAt(top.index, top.term);
    change.compactTo = Math.max(0, top.index - wish.trailing);
    for (const index of all.keys()) if (index <= change.compactTo) all.delete(index);
  }
  const write = batch(change);
  const after = {
    hardState: write.hardState,
    snapshot: write.snapshot ?? model.snapshot,
    entries: [...all.values()],
  };
  return { write, after };
}
