import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  decodeLeaseCache,
  encodeLeaseCache,
  type LeaseCache,
  readLeaseCache,
  writeLeaseCache,
} from '../../../src/subnet/lease-cache.ts';
import { view } from '../../../src/subnet/lease-view.ts';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import { acquireCommand, cluster, node } from './samples.ts';

function sample(): LeaseCache {
  const replica = cluster(3);
  for (const n of [1, 2, 3]) replica.expect('acquired', acquireCommand(n));
  return { clusterId: 'c1', epoch: 1, nodeId: node(2), snapshot: view(replica.state, node(2)) };
}

const bytes = Buffer.from(encodeLeaseCache(sample()));

it('reads what it wrote', () => {
  expect(decodeLeaseCache(bytes)).toEqual(sample());
  const none = cluster(1);
  const early = { ...sample(), snapshot: view(none.state, node(1)) };
  expect(decodeLeaseCache(Buffer.from(encodeLeaseCache(early)))).toEqual(early);
});

describe('is nothing when damaged', () => {
  it('by one byte, anywhere', () => {
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 2 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        expect(decodeLeaseCache(damaged)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });
  it('by a cut, anywhere', () => {
    for (let length = 0; length < bytes.length - 1; length += 7)
      expect(decodeLeaseCache(bytes.subarray(0, length))).toBeUndefined();
  });
  it('by hand, with the checksum left as it was', () => {
    expect(
      decodeLeaseCache(Buffer.from(bytes.toString().replaceAll('10.5.2.0', '10.5.9.0'))),
    ).toBeUndefined();
  });
  it('by anything else', () => {
    fc.assert(fc.property(fc.uint8Array(), (other) => void expect(decodeLeaseCache(other)).toBeUndefined()));
    const deep = `{"body":${'['.repeat(100_000)}${']'.repeat(100_000)},"sha256":"${'0'.repeat(64)}"}`;
    expect(decodeLeaseCache(Buffer.from(deep))).toBeUndefined();
  });
});

it('is a private file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'su-'));
  const path = join(directory, 'dataplane.json');
  try {
    expect(await readLeaseCache(path)).toBeUndefined();
    await writeLeaseCache(path, sample());
    expect(await readLeaseCache(path)).toEqual(sample());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await writeFile(path, '');
    expect(await readLeaseCache(path)).toBeUndefined();
  } finally {
    await rm(directory, { recursive: true });
  }
});
