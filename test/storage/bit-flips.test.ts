/**
 * One wrong bit anywhere in the files of a Raft database: it is reported, or it makes no difference to hard state, log,
 * snapshot and what was seen of peers. There is no third outcome. The file and the bit come from a seed that a failure
 * names.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../raft/sim/random.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import { EMPTY } from '../unit/raft/storage/contract.ts';
import { Databases, type Files, forEachAtOnce, identity, nameOf, readFiles } from './databases.ts';
import { operations } from './workload.ts';

/** `npm run test:long`. */
const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const FLIPS = LONG ? 10_000 : 1_000;

/** LevelDB reads nothing from its own diary and its lock. */
const FILES = [/^\d+\.log$/, /^\d+\.ldb$/, /^MANIFEST/, /^CURRENT$/, /^fence$/];
/** The bytes of the two slots: the rest of the file is never read. */
const SLOTS = [...Array(69).keys(), ...Array.from({ length: 69 }, (_, i) => 4_096 + i)];

interface Database {
  readonly files: Files;
  readonly state: string;
}

/** With the first `inTable` operations in a table and the others in the write-ahead log. */
async function databaseOf(
  databases: Databases,
  seed: number,
  inTable: number,
  inLog: number,
): Promise<Database> {
  const directory = databases.path();
  const all = operations(seed, inTable + inLog);
  await (await LevelStorage.create(directory, identity, EMPTY)).close();
  for (const part of [all.slice(0, inTable), all.slice(inTable)]) {
    await using storage = await LevelStorage.open(directory, identity);
    await storage.load();
    for (const { run } of part) await run(storage);
  }
  return { files: await readFiles(directory), state: all.at(-1)?.after ?? '' };
}

function flipped(files: Files, random: Random): { name: string; at: number; files: Files } {
  const name = nameOf(files, random.pick(FILES) ?? /./);
  const bytes = Buffer.from(files.get(name) ?? []);
  const at = name === 'fence' ? (random.pick(SLOTS) ?? 0) : random.integer(0, bytes.length - 1);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.integer(0, 7)), at);
  return { name, at, files: new Map([...files, [name, bytes]]) };
}

describe('a flipped bit', () => {
  it(`is reported or makes no difference, ${FLIPS} times`, async () => {
    await using databases = await Databases.make();
    // Most of what is live lies in the table of one and in the write-ahead log of the other.
    const originals = [await databaseOf(databases, 1, 120, 5), await databaseOf(databases, 2, 20, 100)];
    for (const { files, state } of originals) expect(await databases.open(files)).toBe(state);
    const outcomes = new Map<string, number>();
    const seeds = Array.from({ length: FLIPS }, (_, i) => i + 1);
    await forEachAtOnce(seeds, 4, async (seed) => {
      const random = new Random(seed);
      const original = originals[seed % originals.length] ?? expect.unreachable();
      const { name, at, files } = flipped(original.files, random);
      const found = await databases.open(files).catch((error: unknown) => String(error));
      const isReported = found instanceof StorageDamagedError;
      if (!isReported) expect(found, `seed ${seed}: byte ${at} of ${name}`).toBe(original.state);
      const kind = `${name.replace(/\d+/, '')} ${isReported ? 'reported' : 'harmless'}`;
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    });
    // Each file was hit, and none of them is a file whose bytes do not matter.
    const reported = [...outcomes.keys()].filter((kind) => kind.endsWith('reported')).toSorted();
    expect(reported).toEqual(['.ldb reported', '.log reported', 'CURRENT reported', 'MANIFEST- reported']);
    expect(outcomes.get('fence harmless')).toBeGreaterThan(0);
  });

  it('in both slots of the fence is reported, wherever', async () => {
    await using databases = await Databases.make();
    const { files } = await databaseOf(databases, 3, 5, 5);
    const random = new Random(1);
    for (let n = 0; n < 20; n++) {
      const bytes = Buffer.from(files.get('fence') ?? []);
      for (const slot of [0, 4_096]) {
        const at = slot + random.integer(0, 68);
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.integer(0, 7)), at);
      }
      expect(await databases.open(new Map([...files, ['fence', bytes]]))).toBeInstanceOf(StorageDamagedError);
    }
  });
});
