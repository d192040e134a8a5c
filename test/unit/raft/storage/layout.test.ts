import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { fenceOfNothing } from '../../../../raft/storage/fence.ts';
import { Layout } from '../../../../raft/storage/layout.ts';
import { chunkGeneration } from '../../../../raft/storage/records.ts';
import type { PersistBatch } from '../../../../raft/storage/storage.ts';
import type { DatabaseContents } from '../../../../raft/storage/verification.ts';
import { batch, command, EMPTY, snapshotAt, storageContract } from './contract.ts';
import { KeyValueDisk, KeyValueStorage } from './kv-disk.ts';

const identity = { cluster: 'c1', replica: toReplicaId(7) };
const LARGE = 600_000;

storageContract('the layout over a map', async () => {
  const disk = new KeyValueDisk();
  KeyValueStorage.create(disk, identity, EMPTY);
  return { open: async () => new KeyValueStorage(disk, identity), dispose: async () => {} };
});

function contentsOf(disk: KeyValueDisk): DatabaseContents {
  return disk.verified(identity);
}

function chunks(disk: KeyValueDisk): number {
  return disk.records().filter(([key]) => chunkGeneration(key) !== null).length;
}

function write(disk: KeyValueDisk, layout: Layout, one: PersistBatch): void {
  const standing = disk.write((to) => layout.stage(one, to));
  disk.writeFence({ ...fenceOfNothing(identity.replica), ...standing });
}

describe('a staged snapshot', () => {
  const start = batch({ term: 2, commit: 2, entries: [command(1, 1), command(2, 2)] });
  const flip = batch({ term: 2, commit: 2, snapshot: snapshotAt(2, 2, LARGE), compactTo: 2 });
  const again = batch({ term: 2, commit: 2, snapshot: snapshotAt(1, 1, LARGE), compactTo: 1 });

  function started(): { disk: KeyValueDisk; layout: Layout } {
    const disk = new KeyValueDisk();
    const layout = Layout.create(identity, []);
    write(disk, layout, start);
    return { disk, layout };
  }

  function stagePieces(disk: KeyValueDisk, layout: Layout, count: number, bytes = LARGE): void {
    let n = 0;
    for (const [key, value] of layout.stageSnapshot(snapshotAt(2, 2, bytes))) {
      if (n++ === count) return;
      disk.write((to) => to.put(key, value));
    }
  }

  it('is nothing before a batch names it, and goes with the first write after a restart', () => {
    for (const count of [1, 2, 3]) {
      const { disk, layout } = started();
      stagePieces(disk, layout, count);
      expect(chunks(disk)).toBe(count);
      const contents = contentsOf(disk);
      expect(contents.snapshot).toBeNull();
      const restarted = Layout.of(contents);
      write(disk, restarted, batch({ term: 3, commit: 2 }));
      expect(chunks(disk)).toBe(0);
      expect(contentsOf(disk)).toMatchObject({ state: { hardState: { term: 3 } }, snapshot: null });
    }
  });

  it('takes entries meanwhile, and writes no chunk twice', () => {
    const { disk, layout } = started();
    for (const [key, value] of layout.stageSnapshot(snapshotAt(2, 2, LARGE))) {
      disk.write((to) => to.put(key, value));
      const next = Number(layout.last.index) + 1;
      write(disk, layout, batch({ term: 2, commit: 2, entries: [command(next, 2)] }));
    }
    expect([...layout.stageSnapshot(snapshotAt(2, 2, LARGE))]).toEqual([]);
    write(disk, layout, flip);
    const { snapshot, entries } = contentsOf(disk);
    expect(snapshot?.data.length).toBe(LARGE);
    expect(entries.length).toBe(3);
  });

  it('takes the place of the stored one, also at the same entry', () => {
    const { disk, layout } = started();
    for (const bytes of [LARGE, 8, 2 * LARGE]) {
      stagePieces(disk, layout, 99, bytes);
      expect(contentsOf(disk).state.hardState).toEqual(start.hardState);
      const snapshot = snapshotAt(2, 2, bytes);
      write(disk, layout, batch({ term: 2, commit: 2, snapshot, compactTo: 2 }));
      expect(contentsOf(disk).snapshot?.data).toSatisfy((data) => Buffer.from(data).equals(snapshot.data));
      expect(contentsOf(disk).orphans).toEqual([]);
    }
  });

  it('waits for its batch while another one is staged, and is swept when a newer one is written', () => {
    const { disk, layout } = started();
    stagePieces(disk, layout, 99);
    const [early, small] = [snapshotAt(1, 1, LARGE), snapshotAt(2, 2, 8)];
    for (const snapshot of [early, small]) {
      for (const [key, value] of layout.stageSnapshot(snapshot)) disk.write((to) => to.put(key, value));
    }
    expect(contentsOf(disk).orphans.length).toBe(7);
    write(disk, layout, again);
    expect(contentsOf(disk)).toMatchObject({ snapshot: { meta: { last: { index: 1 } } } });
    expect(chunks(disk)).toBe(7);
    expect([...layout.stageSnapshot(small)]).toEqual([]);
    write(disk, layout, batch({ term: 2, commit: 2, snapshot: small, compactTo: 2 }));
    expect(contentsOf(disk)).toMatchObject({ orphans: [], snapshot: { meta: { last: { index: 2 } } } });
    expect(chunks(disk)).toBe(1);
  });

  it('must be there before a batch names it', () => {
    const { disk, layout } = started();
    stagePieces(disk, layout, 99, LARGE + 1);
    expect(() => disk.write((to) => layout.stage(flip, to))).toThrow('staged');
  });

  it('of an interrupted creation does not become part of the next', () => {
    const { disk, layout } = { disk: new KeyValueDisk(), layout: Layout.create(identity, []) };
    stagePieces(disk, layout, 2);
    const initial = { hardState: flip.hardState, snapshot: snapshotAt(2, 2, 8), entries: [] };
    KeyValueStorage.create(disk, identity, initial);
    expect(contentsOf(disk)).toMatchObject({ orphans: [], snapshot: { meta: { last: { index: 2 } } } });
  });
});
