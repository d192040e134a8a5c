import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { InitialState } from '../../../../raft/core/bootstrap.ts';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { decodeFence } from '../../../../raft/storage/fence.ts';
import { LevelStorage } from '../../../../raft/storage/level.ts';
import {
  encodeLogRecord,
  encodeState,
  logKey,
  STATE_KEY,
  startOfChain,
} from '../../../../raft/storage/records.ts';
import { type RaftStorage, StorageDamagedError } from '../../../../raft/storage/storage.ts';
import { batch, command, EMPTY, snapshotAt, storageContract } from './contract.ts';

const identity = { cluster: 'c1', replica: toReplicaId(7) };
const made: string[] = [];

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'raft-level-'));
  made.push(directory);
  return directory;
}

afterEach(async () => {
  for (const directory of made.splice(0)) await rm(directory, { recursive: true, force: true });
});

storageContract('LevelStorage', async () => {
  const parent = await temporary();
  const directory = join(parent, 'raft');
  await (await LevelStorage.create(directory, identity, EMPTY)).close();
  return {
    open: () => LevelStorage.open(directory, identity),
    dispose: () => rm(parent, { recursive: true, force: true }),
  };
});

/**
 * A closed database with a truncation, a compaction and some entries in it, in a table and in the write-ahead log; and
 * every state it went through.
 */
async function history(replica = identity.replica): Promise<{ directory: string; states: string[] }> {
  const directory = join(await temporary(), 'raft');
  const names = { ...identity, replica };
  await (await LevelStorage.create(directory, names, EMPTY)).close();
  await using storage = await LevelStorage.open(directory, names);
  const states = [await stateOf(storage)];
  const write = async (change: Parameters<typeof batch>[0]): Promise<void> => {
    await storage.write(batch(change));
    states.push(await stateOf(storage));
  };
  await write({ term: 1, vote: 7 });
  for (let i = 1; i <= 20; i++) await write({ term: 1, vote: 7, commit: i - 1, entries: [command(i, 1)] });
  await write({ term: 2, commit: 18, truncateFrom: 19, entries: [command(19, 2), command(20, 2)] });
  await write({ term: 2, commit: 20, snapshot: snapshotAt(15, 1, 400), compactTo: 10 });
  for (let i = 21; i <= 30; i++) await write({ term: 2, commit: i - 1, entries: [command(i, 2)] });
  return { directory, states };
}

async function stateOf(storage: RaftStorage): Promise<string> {
  return JSON.stringify(await storage.load());
}

async function reopened(directory: string): Promise<string | StorageDamagedError> {
  try {
    await using storage = await LevelStorage.open(directory, identity);
    return await stateOf(storage);
  } catch (e) {
    if (e instanceof StorageDamagedError) return e;
    throw e;
  }
}

async function walOf(directory: string): Promise<string> {
  const name = (await readdir(directory)).find((file) => /^\d+\.log$/.test(file));
  if (name === undefined) throw new Error('no write-ahead log');
  return join(directory, name);
}

describe('a damaged directory', () => {
  async function expectDamage(directory: string, sentence: string | RegExp): Promise<void> {
    const found = await reopened(directory);
    expect(found).toBeInstanceOf(StorageDamagedError);
    expect(String(found)).toMatch(sentence);
  }

  async function copyOf(directory: string): Promise<string> {
    const copy = `${directory}-copy`;
    await cp(directory, copy, { recursive: true });
    return copy;
  }

  it('that is gone is damage', async () => {
    const { directory } = await history();
    await rm(directory, { recursive: true });
    await expect(LevelStorage.open(directory, identity)).rejects.toThrow(StorageDamagedError);
  });

  it.each([
    ['its write-ahead log', /^\d+\.log$/],
    ['its tables', /\.ldb$/],
    ['its manifest', /^MANIFEST/],
    ['CURRENT', /^CURRENT$/],
    ['its fence', /^fence$/],
    ['everything in it', /./],
  ])('without %s is damage', async (_name, pattern) => {
    const { directory } = await history();
    const lost = (await readdir(directory)).filter((name) => pattern.test(name));
    expect(lost).not.toEqual([]);
    for (const name of lost) await rm(join(directory, name));
    await expectDamage(directory, directory);
  });

  it('whose write-ahead log is cut by a byte or by half is damage', async () => {
    const { directory } = await history();
    for (const keep of [0.5, 1]) {
      const copy = await copyOf(directory);
      const wal = await walOf(copy);
      const bytes = await readFile(wal);
      await writeFile(wal, bytes.subarray(0, Math.floor(bytes.length * keep) - 1));
      await expectDamage(copy, 'newer writes are lost');
      await rm(copy, { recursive: true });
    }
  });

  it('replaced by an older copy of it, but for the fence, is damage', async () => {
    const { directory } = await history();
    const older = await copyOf(directory);
    {
      await using storage = await LevelStorage.open(directory, identity);
      await storage.load();
      await storage.write(batch({ term: 2, vote: 7, commit: 30 }));
    }
    await cp(join(directory, 'fence'), join(older, 'fence'));
    await expectDamage(older, 'or it is an older copy');
  });

  it('whose fence is of another database is damage', async () => {
    const [one, another] = [await history(), await history(toReplicaId(8))];
    await cp(join(another.directory, 'fence'), join(one.directory, 'fence'));
    await expectDamage(one.directory, 'fence is of replica 8');
  });

  it('with one torn slot in its fence is whole, with two it is damage', async () => {
    const { directory, states } = await history();
    const fence = join(directory, 'fence');
    const whole = await readFile(fence);
    for (const torn of [[0], [4_096], [0, 4_096]]) {
      const bytes = Buffer.from(whole);
      for (const at of torn) bytes.fill(0xff, at, at + 30);
      await writeFile(fence, bytes);
      if (torn.length === 2) await expectDamage(directory, 'neither slot');
      else expect(await reopened(directory)).toBe(states.at(-1));
    }
  });

  it.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 9)],
    ['changed', (bytes: Buffer) => Buffer.from(bytes).fill(7, bytes.length - 70, bytes.length - 60)],
  ])('with a table that is %s is damage, and does not abort the process', async (_name, change) => {
    const { directory } = await history();
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (name.endsWith('.ldb')) await writeFile(path, change(await readFile(path)));
    }
    await expectDamage(directory, /its table 0+\d+\.ldb is not whole/);
  });

  it('with what a crash left of a table that never came to be is whole', async () => {
    const { directory, states } = await history();
    await writeFile(join(directory, '000099.ldb'), 'half a table');
    expect(await reopened(directory)).toBe(states.at(-1));
  });

  it('that a killed process left one write ahead of its fence is whole, and that write counts from then on', async () => {
    const { directory } = await history();
    const older = await copyOf(directory);
    const fence = join(directory, 'fence');
    {
      await using storage = await LevelStorage.open(directory, identity);
      await storage.load();
      await storage.write(batch({ term: 2, commit: 30, entries: [command(31, 2)] }));
    }
    await cp(join(older, 'fence'), fence);
    expect(await reopened(directory)).toContain('"index":31');
    await cp(fence, join(older, 'fence'));
    await expectDamage(older, 'newer writes are lost');
  });
});

type ChainedBatch = ReturnType<Level<Buffer, Buffer>['batch']>;

function rawDatabase(directory: string): Level<Buffer, Buffer> {
  return new Level<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
  });
}

describe('records', () => {
  async function tamper(
    change: (database: Level<Buffer, Buffer>) => Promise<void>,
  ): Promise<string | StorageDamagedError> {
    const { directory } = await history();
    const database = rawDatabase(directory);
    await change(database);
    await database.close();
    return reopened(directory);
  }

  it.each([
    ['an entry is missing', async (db: Level<Buffer, Buffer>) => db.del(logKey(command(25, 2).index))],
    ['the last entry is missing', async (db: Level<Buffer, Buffer>) => db.del(logKey(command(30, 2).index))],
    ['the first entry is missing', async (db: Level<Buffer, Buffer>) => db.del(logKey(command(11, 1).index))],
    [
      'an entry is in the place of another',
      async (db: Level<Buffer, Buffer>) =>
        db.put(logKey(command(25, 2).index), (await db.get(logKey(command(24, 2).index))) ?? Buffer.alloc(0)),
    ],
    [
      'an entry of another log stands between the right terms',
      async (db: Level<Buffer, Buffer>) => {
        const { entry, ...before } = { entry: command(25, 2, 'another'), ...startOfChain(command(24, 2)) };
        await db.put(logKey(entry.index), encodeLogRecord(before, entry).bytes);
      },
    ],
    [
      'a byte of the hard state is wrong',
      async (db: Level<Buffer, Buffer>) => {
        const state = Buffer.from((await db.get(STATE_KEY)) ?? []);
        state.writeUInt8(9, 12);
        await db.put(STATE_KEY, state);
      },
    ],
    ['the hard state is missing', async (db: Level<Buffer, Buffer>) => db.del(STATE_KEY)],
    ['the hard state is cut', async (db: Level<Buffer, Buffer>) => db.put(STATE_KEY, Buffer.alloc(3))],
    [
      'the hard state is of another log',
      async (db: Level<Buffer, Buffer>) => {
        const none = startOfChain({ term: EMPTY.hardState.term, index: EMPTY.hardState.commit });
        const { hardState } = EMPTY;
        const state = { hardState, writeSequence: 1, base: none, last: none, snapshotIndex: none.index };
        await db.put(STATE_KEY, encodeState(state));
      },
    ],
    ['the snapshot is missing', async (db: Level<Buffer, Buffer>) => db.del(Buffer.from('m/snap'))],
    [
      'somebody else wrote here',
      async (db: Level<Buffer, Buffer>) => db.put(Buffer.from('x'), Buffer.from('y')),
    ],
  ])('are refused when %s', async (_name, change) => {
    expect(String(await tamper(change))).toMatch(
      /StorageDamagedError.* is damaged: (?!its table|it ends at)/,
    );
  });

  it('of a snapshot are refused when a byte is wrong', async () => {
    const found = await tamper(async (db) => {
      for await (const [key, value] of db.iterator({ gte: Buffer.from('s/'), lt: Buffer.from('s0') })) {
        value[17] = (value[17] ?? 0) ^ 1;
        await db.put(key, value);
      }
    });
    expect(String(found)).toMatch('does not have its digest');
  });

  it('of another replica or cluster are refused', async () => {
    const { directory } = await history();
    for (const other of [
      { ...identity, cluster: 'c2' },
      { ...identity, replica: toReplicaId(8) },
    ]) {
      await using storage = await LevelStorage.open(directory, other);
      await expect(storage.load()).rejects.toThrow('it belongs to replica 7 of cluster c1');
    }
  });

  it('of a newer version are not called damage', async () => {
    const { directory } = await history();
    const database = rawDatabase(directory);
    const { crc32 } = await import('node:zlib');
    const state = Buffer.from((await database.get(STATE_KEY)) ?? []);
    state[4] = 2;
    state.writeUInt32BE(crc32(state.subarray(4)));
    await database.put(STATE_KEY, state);
    await database.close();
    await expect(reopened(directory)).rejects.toThrow('newer version');
  });
});

describe('create', () => {
  const bootstrapped: InitialState = {
    ...EMPTY,
    hardState: batch({ term: 1, commit: 1 }).hardState,
    entries: [command(1, 1)],
  };

  it('stores the initial state', async () => {
    const directory = join(await temporary(), 'raft');
    await (await LevelStorage.create(directory, identity, bootstrapped)).close();
    await using storage = await LevelStorage.open(directory, identity);
    expect(await storage.load()).toMatchObject({ hardState: bootstrapped.hardState });
  });

  it('refuses what already holds a database', async () => {
    const { directory, states } = await history();
    await expect(LevelStorage.create(directory, identity, EMPTY)).rejects.toThrow('already holds');
    expect(await reopened(directory)).toBe(states.at(-1));
  });

  it('takes up what an interrupted create left', async () => {
    const directory = join(await temporary(), 'raft');
    const empty = rawDatabase(directory);
    await empty.open();
    await empty.close();
    await (await LevelStorage.create(directory, identity, EMPTY)).close();
    expect(await reopened(directory)).toBe(JSON.stringify({ ...EMPTY, seen: {} }));
  });
});

describe('a database in use', () => {
  it('is refused within the process with a sentence, and is not damage', async () => {
    const directory = join(await temporary(), 'raft');
    await using _first = await LevelStorage.create(directory, identity, EMPTY);
    const link = `${directory}-link`;
    await symlink(directory, link);
    for (const path of [directory, link]) {
      const second = LevelStorage.open(path, identity);
      await expect(second).rejects.toThrow(/in use by this very process; close it first/);
      await expect(second).rejects.not.toThrow(StorageDamagedError);
      await expect(LevelStorage.create(path, identity, EMPTY)).rejects.toThrow('in use by this very process');
    }
  });

  it('keeps other processes out, also after it was refused here', async () => {
    const directory = join(await temporary(), 'raft');
    const first = await LevelStorage.create(directory, identity, EMPTY);
    await expect(LevelStorage.open(directory, identity)).rejects.toThrow('in use');
    expect(openElsewhere(directory)).toContain('LEVEL_LOCKED');
    await first.close();
    expect(openElsewhere(directory)).toContain('open');
  });

  it('can be opened again once it is closed, or failed to open', async () => {
    const directory = join(await temporary(), 'raft');
    await (await LevelStorage.create(directory, identity, EMPTY)).close();
    await expect(LevelStorage.create(directory, identity, EMPTY)).rejects.toThrow('already holds');
    await (await LevelStorage.open(directory, identity)).close();
  });
});

/** What another process says that opens the database. */
function openElsewhere(directory: string): string {
  const script = `
    import { Level } from 'level';
    const database = new Level(${JSON.stringify(directory)}, { createIfMissing: false });
    try { await database.open(); console.log('open'); } catch (e) { console.log(e.cause?.code ?? e); }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  return stdout + stderr;
}

it('a fence never says what is not durable yet, and says it before the write is done', async () => {
  const directory = join(await temporary(), 'raft');
  await using storage = await LevelStorage.create(directory, identity, EMPTY);
  const fenced = (): number => decodeFence(readFileSync(join(directory, 'fence'))).fence.writeSequence;
  await using other = rawDatabase(join(await temporary(), 'other'));
  await other.open();
  let batches: object = other.batch();
  while (!Object.hasOwn(batches, 'write')) batches = Object.getPrototypeOf(batches);
  const seen: number[] = [];
  const { write } = batches as ChainedBatch;
  using _spy = vi.spyOn(batches as ChainedBatch, 'write').mockImplementation(async function (
    this: ChainedBatch,
    options,
  ) {
    seen.push(fenced());
    await write.call(this, options);
    seen.push(fenced());
  });
  await storage.write(batch({ term: 1, vote: 1 }));
  seen.push(fenced());
  await storage.write(batch({ term: 1, vote: 1, entries: [command(1, 1)] }));
  seen.push(fenced());
  expect(seen).toEqual([1, 1, 2, 2, 2, 3]);
});

it('a failed write is final', async () => {
  const directory = join(await temporary(), 'raft');
  await using storage = await LevelStorage.create(directory, identity, EMPTY);
  const wrong = batch({ term: 1, entries: [command(5, 1)] });
  await expect(storage.write(wrong)).rejects.toThrow('does not follow');
  await expect(storage.write(batch({ term: 1 }))).rejects.toThrow('does not follow');
});
