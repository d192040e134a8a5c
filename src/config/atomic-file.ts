/**
 * Writes a whole file so that a reader, and the disk after a power cut, has the old text or the new one and never a
 * part: temporary file in the same directory, fsync, rename, fsync of the directory. The mode is what was asked for,
 * whatever the umask. Leaves no temporary file behind when it fails.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface AtomicWriteOptions {
  readonly mode: number;
  /** Missing parents are made with this mode; without it a missing directory is an error. */
  readonly parentMode?: number;
}

export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: AtomicWriteOptions,
): Promise<void> {
  const directory = dirname(path);
  if (options.parentMode !== undefined) await mkdir(directory, { recursive: true, mode: options.parentMode });
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    await writeSynced(temporary, data, options.mode);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // it may not exist; the first error is the one that counts
    throw error;
  }
  await syncDirectory(directory);
}

async function writeSynced(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  // Made private and opened up only once it is whole: `wx` refuses a link that somebody put in the way.
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(data);
  await file.chmod(mode);
  await file.sync();
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/** The bytes of a file; undefined where there is none. A file that is too long or not regular reads as empty. */
export async function readFileBounded(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    // A pipe in its place must not hang the agent.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > bytesMax) return new Uint8Array();
    const bytes = await file.readFile();
    return bytes.length > bytesMax ? new Uint8Array() : bytes;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
