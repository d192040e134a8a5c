/**
 * One user of a directory within this process. LevelDB's lock keeps other processes out, but a second open in the same
 * process, although it is refused, closes the lock file and so gives the lock away.
 */
import { realpath } from 'node:fs/promises';

const claimed = new Set<string>();

/** The directory exists. Returns what gives it back. */
export async function claimDirectory(directory: string): Promise<() => void> {
  const path = await realpath(directory);
  if (claimed.has(path)) {
    throw new Error(`the Raft database ${directory} is in use by this very process; close it first`);
  }
  claimed.add(path);
  return () => claimed.delete(path);
}
