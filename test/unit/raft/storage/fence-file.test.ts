import { type FileHandle, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { FENCE_SYNC_MS, FENCE_SYNC_WRITES } from '../../../../raft/limits.ts';
import { decodeFence, FENCE_BYTES, type Fence, fenceOfNothing } from '../../../../raft/storage/fence.ts';
import { FenceFile } from '../../../../raft/storage/fence-file.ts';
import { LevelStorage } from '../../../../raft/storage/level.ts';
import { batch, EMPTY } from './contract.ts';

const replica = toReplicaId(7);
const nothing = fenceOfNothing(replica);

describe('a fence file', () => {
  let directory = '';
  let path = '';
  let file: FenceFile;
  /** Of any file. */
  let sync: MockInstance<() => Promise<void>>;
  const at = (writeSequence: number, change: Partial<Fence> = {}): Fence => ({
    ...nothing,
    writeSequence,
    ...change,
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'raft-fence-'));
    path = join(directory, 'fence');
    await FenceFile.create(path, nothing);
    file = await FenceFile.open(path);
    file.continueFrom(decodeFence(await file.read()));
    await using handle = await open(path);
    const handles: Pick<FileHandle, 'datasync'> = Object.getPrototypeOf(handle);
    sync = vi.spyOn(handles, 'datasync');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });

  afterEach(async () => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    await file.close();
    await rm(directory, { recursive: true });
  });

  it('is made whole, with room for everything that comes', async () => {
    expect(await readdir(directory)).toEqual(['fence']);
    expect((await readFile(path)).length).toBe(FENCE_BYTES);
    for (let n = 1; n <= 5; n++) {
      await file.record(at(n));
      expect(decodeFence(await readFile(path)).fence).toEqual(at(n));
    }
    expect((await readFile(path)).length).toBe(FENCE_BYTES);
  });

  it('never has both slots half written, whenever the power goes', async () => {
    /** What a power cut would surely leave. */
    let safe = await readFile(path);
    for (let n = 1; n <= 40; n++) {
      await file.record(at(n, { term: toTerm(Math.floor(n / 7)) }));
      const now = await readFile(path);
      const torn = Buffer.from(now);
      for (const start of [0, FENCE_BYTES / 2]) {
        const [before, after] = [safe, now].map((bytes) => bytes.subarray(start, start + FENCE_BYTES / 2));
        if (before !== undefined && after?.equals(before) === false) torn.fill(0xff, start, start + 40);
      }
      expect(() => decodeFence(torn)).not.toThrow();
      if (sync.mock.calls.length > 0) {
        sync.mockClear();
        safe = now;
      }
    }
  });

  it('is synced at once with a term and with a vote', async () => {
    const inTerm = { term: toTerm(3) };
    await file.record(at(1, inTerm));
    expect(sync).toHaveBeenCalledTimes(1);
    await file.record(at(2, { ...inTerm, vote: replica }));
    expect(sync).toHaveBeenCalledTimes(2);
    await file.record(at(3, { ...inTerm, vote: replica, seenSequence: 1 }));
    expect(sync).toHaveBeenCalledTimes(2);
  });

  it('is synced after so many writes, or after a while', async () => {
    for (let n = 1; n < FENCE_SYNC_WRITES; n++) await file.record(at(n));
    expect(sync).not.toHaveBeenCalled();
    await file.record(at(FENCE_SYNC_WRITES));
    expect(sync).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(2 * FENCE_SYNC_MS);
    expect(sync).toHaveBeenCalledTimes(1);
    await file.record(at(FENCE_SYNC_WRITES + 1));
    vi.advanceTimersByTime(FENCE_SYNC_MS - 1);
    expect(sync).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1);
    expect(sync).toHaveBeenCalledTimes(2);
  });

  it('whose sync fails later stops the storage for good', async () => {
    const database = join(directory, 'raft');
    await using storage = await LevelStorage.create(database, { cluster: 'c', replica }, EMPTY);
    await storage.write(batch({ term: 0 }));
    sync.mockRejectedValue(new Error('no space left'));
    vi.advanceTimersByTime(FENCE_SYNC_MS);
    await new Promise((resolve) => setImmediate(resolve)); // nobody waits for that sync
    await expect(storage.write(batch({ term: 0 }))).rejects.toThrow(
      /no space left; free or replace the disk/,
    );
    sync.mockRestore();
    await expect(storage.write(batch({ term: 0 }))).rejects.toThrow('no space left');
  });
});
