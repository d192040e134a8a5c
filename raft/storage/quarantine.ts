/**
 * Puts a damaged database out of the way and keeps it for whoever wants to know what happened. Never opens it, never
 * repairs it, and never decides that it is damaged.
 */
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { QUARANTINED_DATABASES_MAX } from '../limits.ts';
import { syncDirectory } from './directory.ts';

/**
 * Renames `directory` to `<directory>.damaged-<n>`, n counting up, and removes the oldest of these when there are too
 * many. When it resolves, no crash brings the database back to its place. Returns the new name, null when there was no
 * such directory. The database is closed.
 */
export async function quarantine(directory: string): Promise<string | null> {
  const parent = dirname(directory);
  const before = await quarantined(directory);
  const aside = join(parent, nameOf(directory, (before.at(-1) ?? 0) + 1));
  try {
    await rename(directory, aside);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  await syncDirectory(parent);
  const surplus = Math.max(0, before.length + 1 - QUARANTINED_DATABASES_MAX);
  for (const n of before.slice(0, surplus)) await rm(join(parent, nameOf(directory, n)), { recursive: true });
  return aside;
}

function nameOf(directory: string, n: number): string {
  return `${basename(directory)}.damaged-${n}`;
}

/** The numbers that are taken, ascending. */
async function quarantined(directory: string): Promise<number[]> {
  const names = await readdir(dirname(directory)).catch(() => []); // a parent that is missing shows in the rename
  return names
    .map((name) => Number(/\.damaged-([1-9]\d*)$/.exec(name)?.[1]))
    .filter((n, i) => names[i] === nameOf(directory, n))
    .toSorted((a, b) => a - b);
}
