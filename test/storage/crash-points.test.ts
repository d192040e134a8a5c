/**
 * A run of 200 operations, cut wherever a crash can cut it: after each operation, between a batch and its fence, inside
 * the batch, inside the fence. The restart recovers exactly what was acknowledged, or one operation more; and where the
 * disk lied about what it had synced, it says so. It never shows a state that never was.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../raft/sim/random.ts';
import { encodeSlot, FENCE_BYTES, fenceOfNothing, slotOffset } from '../../raft/storage/fence.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import { EMPTY } from '../unit/raft/storage/contract.ts';
import { Databases, type Files, forEachAtOnce, identity, nameOf, readFiles } from './databases.ts';
import { BEFORE, type Operation, operations, textOf } from './workload.ts';

/** `npm run test:long`: every byte of the last operation, and more bytes inside the others. */
const LONG = process.env['TSFLANNEL_TEST_LONG'] === '1';
const OPERATIONS = 200;
const CUTS_INSIDE = LONG ? 20 : 3;

/** The disk after an operation. */
interface Moment {
  readonly name: string;
  /** Bytes of the write-ahead log. */
  readonly size: number;
  readonly fence: Buffer;
  readonly state: string;
}

interface Run {
  /** As they were before the first operation. */
  readonly files: Files;
  readonly wal: string;
  /** At the end. The log only ever grows. */
  readonly log: Buffer;
  readonly moments: readonly Moment[];
}

async function record(databases: Databases, all: readonly Operation[]): Promise<Run> {
  const directory = databases.path();
  await (await LevelStorage.create(directory, identity, EMPTY)).close();
  await using storage = await LevelStorage.open(directory, identity);
  await storage.load();
  const files = await readFiles(directory);
  const wal = nameOf(files, /^\d+\.log$/);
  const moments: Moment[] = [];
  let log = Buffer.alloc(0);
  const observe = async (name: string, state: string): Promise<void> => {
    const now = await readFiles(directory);
    log = Buffer.from(now.get(wal) ?? []);
    moments.push({ name, size: log.length, fence: Buffer.from(now.get('fence') ?? []), state });
  };
  await observe('nothing', BEFORE);
  for (const { name, run, after } of all) {
    await run(storage);
    await observe(name, after);
  }
  return { files, wal, log, moments };
}

/** The files that a crash leaves. */
function crashed({ files, wal }: Run, log: Buffer, fence: Buffer): Files {
  return new Map([...files, [wal, log], ['fence', fence]]);
}

interface Crash {
  readonly what: string;
  readonly files: Files;
  /** A state, or damage. */
  readonly expected: string | typeof StorageDamagedError;
}

/** Every way in which the operation that leads to moment `n` can be cut. */
function* crashesAt(run: Run, n: number, random: Random): Generator<Crash, void> {
  const [before, after] = [run.moments[n - 1], run.moments[n]];
  if (before === undefined || after === undefined) return expect.unreachable();
  const what = `operation ${n}, ${after.name}`;
  const whole = run.log.subarray(0, after.size);
  yield { what: `${what}, done`, files: crashed(run, whole, after.fence), expected: after.state };
  yield { what: `${what}, fence missing`, files: crashed(run, whole, before.fence), expected: after.state };
  const torn = Buffer.from(before.fence);
  const changed = [...torn.keys()].filter((at) => torn[at] !== after.fence[at]);
  after.fence.copy(torn, 0, 0, changed[random.integer(0, Math.max(0, changed.length - 1))]);
  yield { what: `${what}, fence torn`, files: crashed(run, whole, torn), expected: after.state };
  const early = run.moments[Math.max(0, n - random.integer(1, 64))] ?? before;
  yield { what: `${what}, fence not synced`, files: crashed(run, whole, early.fence), expected: after.state };
  for (const size of sizesInside(before.size, after.size, n === run.moments.length - 1, random)) {
    const cut = run.log.subarray(0, size);
    yield { what: `${what}, cut at ${size}`, files: crashed(run, cut, before.fence), expected: before.state };
    const zeros = Buffer.concat([cut, Buffer.alloc(after.size - size)]);
    // What ends in zeros may be whole all the same.
    const expected = zeros.equals(whole) ? after.state : before.state;
    yield { what: `${what}, zeros from ${size}`, files: crashed(run, zeros, before.fence), expected };
    if (after.fence.equals(before.fence)) continue;
    yield {
      what: `${what}, acknowledged and cut at ${size}`,
      files: crashed(run, cut, after.fence),
      expected: StorageDamagedError,
    };
  }
}

/** From the last byte before the operation to its last but one. */
function sizesInside(start: number, end: number, isLast: boolean, random: Random): number[] {
  const all = Array.from({ length: end - start }, (_, i) => start + i);
  if (LONG && isLast) return all;
  return [...new Set([start, ...random.sample(all, CUTS_INSIDE - 2), end - 1])].filter((size) => size < end);
}

describe('a crash', () => {
  it('loses nothing that was acknowledged, and never without a word', async () => {
    await using databases = await Databases.make();
    const all = operations(7, OPERATIONS);
    const run = await record(databases, all);
    const names = ['append', 'commit', 'compact', 'install', 'overwrite', 'remember', 'stage', 'vote'];
    expect([...new Set(all.map(({ name }) => name))].toSorted()).toEqual(names);
    const crashes = (function* () {
      for (let n = 1; n < run.moments.length; n++) yield* crashesAt(run, n, new Random(n));
    })();
    let count = 0;
    await forEachAtOnce(crashes, 4, async ({ what, files, expected }) => {
      const found = await databases.open(files);
      if (typeof expected === 'string') expect(found, what).toBe(expected);
      else expect(found, what).toBeInstanceOf(expected);
      count++;
    });
    expect(count).toBeGreaterThan(OPERATIONS * 10);
  });

  it('leaves a database that goes on as if nothing had been', async () => {
    await using databases = await Databases.make();
    const all = operations(8, 60);
    const run = await record(databases, all);
    for (let n = 1; n < all.length; n++) {
      const { size, fence } = run.moments[n - 1] ?? expect.unreachable();
      const next = run.moments[n] ?? expect.unreachable();
      const torn = run.log.subarray(0, Math.floor((size + next.size) / 2));
      await databases.open(crashed(run, torn, fence), async (storage) => {
        for (const { run: again } of all.slice(n - 1, n + 5)) await again(storage);
        const { after } = all[Math.min(n + 4, all.length - 1)] ?? expect.unreachable();
        expect(textOf(await storage.load()), `after ${n - 1}`).toBe(after);
      });
    }
  });

  it('in the middle of a creation leaves what can be created again', async () => {
    await using databases = await Databases.make();
    const directory = databases.path();
    await (await LevelStorage.create(directory, identity, EMPTY)).close();
    const made = await readFiles(directory);
    const wal = nameOf(made, /^\d+\.log$/);
    const log = made.get(wal) ?? Buffer.alloc(0);
    const unused = Buffer.alloc(FENCE_BYTES);
    encodeSlot({ number: 0, fence: fenceOfNothing(identity.replica) }).copy(unused, slotOffset(0));
    const withoutFence = new Map([
      ...made,
      [wal, Buffer.alloc(0)] as const,
      ['fence.new', unused.subarray(0, 9)] as const,
    ]);
    withoutFence.delete('fence');
    expect(await databases.create(withoutFence)).toBe(BEFORE);
    for (let size = 0; size < log.length; size++) {
      const left = new Map([...made, [wal, log.subarray(0, size)] as const, ['fence', unused] as const]);
      expect(await databases.create(left), `cut at ${size}`).toBe(BEFORE);
    }
    const finished = new Map([...made, ['fence', unused] as const]);
    await expect(databases.create(finished)).rejects.toThrow('already holds');
    expect(await databases.open(finished)).toBe(BEFORE);
    const lost = new Map([...made, [wal, Buffer.alloc(0)] as const]);
    await expect(databases.create(lost)).rejects.toThrow('already holds');
  });
});
