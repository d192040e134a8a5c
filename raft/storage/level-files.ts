/**
 * The files of a Raft database: LevelDB's and the fence beside them, opened for one user, or not at all and with the
 * reason. Owns what has to be checked before LevelDB touches a damaged directory, and which of its errors mean damage.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { claimDirectory } from './directory.ts';
import { FenceFile } from './fence-file.ts';
import { liveTables } from './level-manifest.ts';
import { isTableIntact } from './level-table.ts';
import { StorageDamagedError } from './storage.ts';

export type Database = Level<Buffer, Buffer>;

export interface Files {
  readonly database: Database;
  readonly fence: FenceFile;
  /** Gives the directory back. */
  readonly release: () => void;
}

/** LevelDB leaves files alone whose names are not its own. */
const FENCE_FILE = 'fence';

export function fencePath(directory: string): string {
  return join(directory, FENCE_FILE);
}

/** `prepare` runs on the open database before its fence is opened. */
export async function openFiles(
  directory: string,
  createIfMissing: boolean,
  prepare: (database: Database) => Promise<void>,
): Promise<Files> {
  const release = await claimDirectory(directory).catch((e) => Promise.reject(openError(directory, e)));
  try {
    await checkTables(directory);
    const database = await openDatabase(directory, createIfMissing);
    try {
      await prepare(database);
      return { database, fence: await openFence(directory), release };
    } catch (e) {
      await database.close();
      throw e;
    }
  } catch (e) {
    release();
    throw e;
  }
}

async function openFence(directory: string): Promise<FenceFile> {
  try {
    return await FenceFile.open(fencePath(directory));
  } catch (e) {
    throw openError(directory, e);
  }
}

/**
 * LevelDB does not look at the checksums of its tables, and aborts the process over a damaged index. Changes nothing:
 * another process may have the database open. What cannot be read here, LevelDB finds out as well, and says so.
 */
async function checkTables(directory: string): Promise<void> {
  const current = await readFile(join(directory, 'CURRENT'), 'utf8').catch(() => '');
  const manifest = await readFile(join(directory, current.trimEnd())).catch(() => Buffer.alloc(0));
  for (const number of liveTables(manifest)) {
    const name = `${String(number).padStart(6, '0')}.ldb`;
    const bytes = await readFile(join(directory, name)).catch(() => null);
    if (bytes !== null && !isTableIntact(bytes)) {
      throw new StorageDamagedError(
        `the Raft database ${directory} is damaged: its table ${name} is not whole`,
      );
    }
  }
}

async function openDatabase(directory: string, createIfMissing: boolean): Promise<Database> {
  const database = new Level<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    // LevelDB slows writers down when small level-0 files pile up.
    writeBufferSize: 16 << 20,
    createIfMissing,
  });
  try {
    await database.open();
  } catch (e) {
    throw openError(directory, e);
  }
  return database;
}

/** Missing and unreadable files are damage; a lock, a permission or a full disk is not. */
function openError(directory: string, error: unknown): Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'LEVEL_LOCKED') {
    return new Error(`the Raft database ${directory} is in use by another process; stop that one first`, {
      cause,
    });
  }
  if (code === 'LEVEL_CORRUPTION' || /does not exist|no such file|missing files/i.test(detail(cause))) {
    return new StorageDamagedError(`the Raft database ${directory} cannot be opened: ${detail(cause)}`, {
      cause,
    });
  }
  return new Error(`cannot open the Raft database ${directory}: ${detail(cause)}`, { cause });
}

export function detail(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
