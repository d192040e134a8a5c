/** Databases on a real disk that are kept as bytes, changed, and opened again. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toReplicaId } from '../../raft/core/types.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import type { StorageIdentity } from '../../raft/storage/records.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import { EMPTY } from '../unit/raft/storage/contract.ts';
import { textOf } from './workload.ts';

export const identity: StorageIdentity = { cluster: 'c1', replica: toReplicaId(7) };

/** The files of a database directory. */
export type Files = ReadonlyMap<string, Buffer>;

export async function readFiles(directory: string): Promise<Files> {
  const names = await readdir(directory);
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name))] as const)),
  );
}

export function nameOf(files: Files, pattern: RegExp): string {
  const name = [...files.keys()].find((each) => pattern.test(each));
  if (name === undefined) throw new Error(`no file ${pattern}`);
  return name;
}

export class Databases implements AsyncDisposable {
  readonly #parent: string;
  #count = 0;

  private constructor(parent: string) {
    this.#parent = parent;
  }

  static async make(): Promise<Databases> {
    return new Databases(await mkdtemp(join(tmpdir(), 'raft-storage-')));
  }

  /** A path that nothing uses. */
  path(): string {
    return join(this.#parent, String(this.#count++));
  }

  /** Opens these files as a database; `use` gets it loaded. Returns what it recovered, or the damage it reports. */
  async open(
    files: Files,
    use: (storage: LevelStorage) => Promise<void> = async () => {},
  ): Promise<string | StorageDamagedError> {
    return await this.#with(files, async (directory) => {
      try {
        await using storage = await LevelStorage.open(directory, identity);
        const text = textOf(await storage.load());
        await use(storage);
        return text;
      } catch (error) {
        if (error instanceof StorageDamagedError) return error;
        throw error;
      }
    });
  }

  /** Makes a database where these files lie. */
  async create(files: Files): Promise<string> {
    return await this.#with(files, async (directory) => {
      await using storage = await LevelStorage.create(directory, identity, EMPTY);
      return textOf(await storage.load());
    });
  }

  async #with<T>(files: Files, use: (directory: string) => Promise<T>): Promise<T> {
    const directory = this.path();
    await mkdir(directory);
    try {
      await Promise.all([...files].map(([name, bytes]) => writeFile(join(directory, name), bytes)));
      return await use(directory);
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#parent, { recursive: true, force: true });
  }
}

/** Runs `work` for each item, `width` at a time: opening a database is mostly waiting for the disk. */
export async function forEachAtOnce<T>(
  items: Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let step = queue.next(); step.done !== true; step = queue.next()) await work(step.value);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
