/** Directories of databases: one user at a time, and names that survive a power cut. */
import { open, realpath } from 'node:fs/promises';

const claimed = new Set<string>();

/**
 * Makes this the only user of the directory within this process; it must exist. LevelDB's lock keeps other processes
 * out, but a second open in the same process, although it is refused, closes the lock file and so gives the lock away.
 * Returns what gives the directory back.
 */
export async function claimDirectory(directory: string): Promise<() => void> {
  const path = await realpath(directory);
  if (claimed.has(path)) {
    throw new Error(`the Raft database ${directory} is in use by this very process; close it first`);
  }
  claimed.add(path);
  return () => claimed.delete(path);
}

/** A new name is durable only when its directory is. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
