/**
 * What of the data directory belongs to one epoch of a cluster: the Raft database and the CA key. The first epoch has
 * the plain names; a later one, which a recovery made, has its number in them. So a new epoch is made beside the old
 * one, and the file that says which of them counts (cluster.json) is the only thing that has to change at once.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export const FIRST_EPOCH = 1;

/** `raft` and `ca` of the first epoch, `raft-2` and `ca-2` of the second. */
export function ofEpoch(stem: 'raft' | 'ca', epoch: number): string {
  return epoch === FIRST_EPOCH ? stem : `${stem}-${epoch}`;
}

/** Removes what other epochs have left here; null removes it all. The directory itself may be missing. */
export async function removeOtherEpochs(dataDir: string, kept: number | null): Promise<void> {
  for (const name of await readdir(dataDir).catch(() => [])) {
    const match = /^(?:raft|ca)(?:-(\d+))?(?:\..*)?$/.exec(name);
    if (match === null || Number(match[1] ?? FIRST_EPOCH) === kept) continue;
    await rm(join(dataDir, name), { recursive: true, force: true });
  }
}
