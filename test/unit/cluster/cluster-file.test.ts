/** cluster.json and ca.key: read back as written, private, and never half believed. */
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import {
  changeMembership,
  loadCaKey,
  loadClusterFile,
  type Membership,
  parseClusterFile,
  saveCaKey,
  saveClusterFile,
} from '../../../src/cluster/cluster-file.ts';
import { toNodeId } from '../../../src/subnet/lease.ts';

const membership: Membership = {
  state: 'member',
  clusterId: 'c'.repeat(32),
  epoch: 1,
  replicaId: toReplicaId(3),
  caCert: 'ca',
  nodeCert: 'node',
  known: [
    { replicaId: toReplicaId(1), nodeId: toNodeId('a'.repeat(32)), endpoint: { host: '10.0.0.1', port: 1 } },
  ],
  announced: true,
};

describe('cluster.json', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsflannel-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('is null on a host that was never told to be in a cluster', async () => {
    expect(await loadClusterFile(directory)).toBeNull();
    expect(await loadCaKey(directory, 1)).toBeNull();
  });

  it('is changed by one part of an agent after the other, and not made anew', async () => {
    const known = membership.known.map((one) => ({ ...one, replicaId: toReplicaId(9) }));
    await changeMembership(directory, (stored) => ({ ...stored, known }));
    expect(await loadClusterFile(directory), 'of a host that has left').toBeNull();
    await saveClusterFile(directory, { ...membership, announced: false });
    await Promise.all([
      changeMembership(directory, (stored) => ({ ...stored, known })),
      changeMembership(directory, (stored) => ({ ...stored, announced: true })),
    ]);
    expect(await loadClusterFile(directory)).toEqual({ ...membership, known });
  });

  it('is read back as it was written, and nobody else may read it', async () => {
    await saveClusterFile(directory, membership);
    expect(await loadClusterFile(directory)).toEqual(membership);
    expect((await stat(join(directory, 'cluster.json'))).mode & 0o777).toBe(0o600);
    const unfinished = { state: 'unfinished', command: 'join', clusterId: '', requestId: 'r' } as const;
    await saveClusterFile(directory, unfinished);
    expect(await loadClusterFile(directory)).toEqual(unfinished);
  });

  it('deletes the CA key of a host that does not vote any more', async () => {
    await saveCaKey(directory, 1, 'key');
    expect(await loadCaKey(directory, 1)).toBe('key');
    expect((await stat(join(directory, 'ca.key'))).mode & 0o777).toBe(0o600);
    await saveCaKey(directory, 1, null);
    expect(await readdir(directory)).toEqual([]);
  });

  it('says what to do when it is damaged', async () => {
    await writeFile(join(directory, 'cluster.json'), '{"format":1,"state":"mem');
    await expect(loadClusterFile(directory)).rejects.toThrow(/cannot be read/);
  });

  it('is undefined for every value that was not written by us', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseClusterFile(text)).toBeUndefined();
      }),
    );
    const { known: _, ...withoutKnown } = membership;
    expect(parseClusterFile(JSON.stringify({ format: 1, ...withoutKnown }))).toBeUndefined();
    expect(parseClusterFile(JSON.stringify({ format: 1, ...membership, replicaId: -1 }))).toBeUndefined();
    expect(parseClusterFile(JSON.stringify({ format: 2, ...membership }))).toBeUndefined();
  });
});
