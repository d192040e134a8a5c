import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { LevelStorage } from '../../../../raft/storage/level.ts';
import { quarantine } from '../../../../raft/storage/quarantine.ts';
import { EMPTY, expectSame } from './contract.ts';

describe('quarantine', () => {
  let parent = '';
  let directory = '';
  const listed = async (): Promise<string[]> => (await readdir(parent)).toSorted();

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'raft-quarantine-'));
    directory = join(parent, 'raft');
  });
  afterEach(() => rm(parent, { recursive: true }));

  async function damagedDatabase(content: string): Promise<void> {
    await mkdir(directory);
    await writeFile(join(directory, 'CURRENT'), content);
  }

  it('keeps what was found and leaves the place empty, for a new database', async () => {
    await damagedDatabase('garbage');
    expect(await quarantine(directory)).toBe(`${directory}.damaged-1`);
    expect(await listed()).toEqual(['raft.damaged-1']);
    expect(await readFile(join(`${directory}.damaged-1`, 'CURRENT'), 'utf8')).toBe('garbage');
    await using storage = await LevelStorage.create(
      directory,
      { cluster: 'c', replica: toReplicaId(8) },
      EMPTY,
    );
    await expectSame(storage, EMPTY);
  });

  it('keeps the newest few, in order also beyond nine, and nobody else loses anything', async () => {
    const others = [
      'raft.damaged-x',
      'raft.damaged-01',
      'raft-2.damaged-1',
      'xraft.damaged-3',
      'raft.damaged-',
    ];
    for (const name of others) await mkdir(join(parent, name));
    for (let n = 1; n <= 11; n++) {
      await damagedDatabase(String(n));
      await quarantine(directory);
    }
    const kept = ['raft.damaged-9', 'raft.damaged-10', 'raft.damaged-11'];
    expect(await listed()).toEqual([...others, ...kept].toSorted());
    for (const name of kept) {
      expect(name).toBe(`raft.damaged-${await readFile(join(parent, name, 'CURRENT'), 'utf8')}`);
    }
  });

  it('has nothing to do where nothing is', async () => {
    expect(await quarantine(directory)).toBeNull();
    expect(await quarantine(join(parent, 'missing', 'raft'))).toBeNull();
    expect(await listed()).toEqual([]);
  });
});
