/**
 * One agent a data directory: flock(2) on `lock`. Ours beside LevelDB's own, because a failed second open in one
 * process drops the POSIX lock of the first, and then another process can open the live database. A flock belongs to
 * the open file description: it ends with the process, whatever ends it, and needs no stale-file handling.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import koffi from 'koffi';
import { EXIT, refuse, TsflannelError } from '../errors.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

export interface DirectoryLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** Makes the directory (0700) when it is missing. Throws TsflannelError (exit 7) when another process holds it. */
export async function lockDirectory(dataDir: string): Promise<DirectoryLock> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const file = await open(join(dataDir, 'lock'), 'a', 0o600);
  const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)');
  if (flock(file.fd, LOCK_EX | LOCK_NB) !== 0) {
    await file.close();
    throw new TsflannelError(
      refuse(
        'directory-in-use',
        EXIT.conflict,
        `The data directory ${dataDir} is in use by another tsflannel process.`,
        'Stop that agent first ("systemctl stop tsflannel"), or give another --data-dir.',
      ),
    );
  }
  return lockOf(file);
}

function lockOf(file: FileHandle): DirectoryLock {
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => (released ??= file.close());
  return { release, [Symbol.asyncDispose]: release };
}
