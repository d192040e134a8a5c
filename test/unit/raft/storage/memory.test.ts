import { expect, it } from 'vitest';
import { MemoryStorage } from '../../../../raft/storage/memory.ts';
import { StorageDamagedError } from '../../../../raft/storage/storage.ts';
import { batch, command, EMPTY, expectSame, storageContract } from './contract.ts';

storageContract('MemoryStorage', async () => {
  let stored = new MemoryStorage(EMPTY);
  let opened = false;
  return {
    async open() {
      // A closed storage takes no writes; what it holds is the disk that is opened again. Trailing entries only exist
      // on a disk that is still open, so the first one stays.
      if (opened) stored = stored.reopened();
      opened = true;
      return stored;
    },
    async dispose() {},
  };
});

it('a write that failed is final and leaves nothing behind', async () => {
  const storage = new MemoryStorage(EMPTY);
  storage.failWrites(new Error('no space left'));
  await expect(storage.write(batch({ term: 1, entries: [command(1, 1)] }))).rejects.toThrow('no space left');
  await expect(storage.write(batch({ term: 1 }))).rejects.toThrow('no space left');
  await expectSame(storage, EMPTY);
});

it('a lost disk cannot be loaded', async () => {
  const storage = new MemoryStorage(EMPTY);
  storage.damage('gone');
  await expect(storage.load()).rejects.toThrow(StorageDamagedError);
});
