import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Level } from 'level';
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../../raft/storage/level-bytes.ts';
import { liveTables } from '../../../../raft/storage/level-manifest.ts';
import { isTableIntact } from '../../../../raft/storage/level-table.ts';

interface LevelFiles {
  manifest: Buffer;
  tables: Map<number, Buffer>;
}

/** What LevelDB itself writes: opened `lives` times, so that tables were made and compacted away. */
async function levelFiles(lives: number): Promise<LevelFiles> {
  const directory = await mkdtemp(join(tmpdir(), 'raft-leveldb-'));
  try {
    for (let life = 0; life < lives; life++) {
      await using database = new Level<string, Buffer>(directory, {
        valueEncoding: 'buffer',
        compression: false,
      });
      for (let n = 0; n < 200; n++)
        await database.put(`key ${(n * 7) % 211}`, Buffer.alloc((n * 31) % 900, n));
      await database.del(`key ${life}`);
    }
    {
      await using database = new Level<string, Buffer>(directory, { compression: false });
      await database.open();
    }
    const names = await readdir(directory);
    const read = (name: string): Promise<Buffer> => readFile(join(directory, name));
    const tables = names.filter((name) => name.endsWith('.ldb'));
    return {
      manifest: await read(names.find((name) => name.startsWith('MANIFEST')) ?? ''),
      tables: new Map(
        await Promise.all(tables.map(async (name) => [Number.parseInt(name, 10), await read(name)] as const)),
      ),
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('a table', () => {
  it('of LevelDB is intact, and no byte of it can change unnoticed', async () => {
    const { tables } = await levelFiles(2);
    expect(tables.size).toBeGreaterThan(0);
    for (const table of tables.values()) {
      expect(isTableIntact(table)).toBe(true);
      const unnoticed: number[] = [];
      const step = Math.ceil(table.length / 1_000);
      for (let at = 0; at < table.length; at += at < table.length - 48 - step ? step : 1) {
        const changed = Buffer.from(table);
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at);
        if (isTableIntact(changed)) unnoticed.push(at - table.length);
      }
      // The footer has room for longer numbers, which nobody reads.
      expect(unnoticed.every((at) => at >= -44 && at < -8)).toBe(true);
      expect(isTableIntact(table.subarray(0, -1))).toBe(false);
      expect(isTableIntact(Buffer.concat([table, table]))).toBe(false);
    }
  });

  it('is not made by chance', () => {
    const magic = Buffer.from('57fb808b247547db', 'hex');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(isTableIntact(Buffer.from(bytes))).toBe(false);
        expect(isTableIntact(Buffer.concat([bytes, magic]))).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a manifest', () => {
  it('names tables that are there, and each one that counts', async () => {
    for (const lives of [1, 3, 8]) {
      const { manifest, tables } = await levelFiles(lives);
      const live = liveTables(manifest);
      expect(live.size).toBeGreaterThan(0);
      // A compaction that was cut short by closing may have left another one.
      for (const number of live) expect([...tables.keys()]).toContain(number);
      if (lives === 1) expect(live.size).toBe(tables.size);
    }
  });

  it('counts as far as it is whole', async () => {
    const { manifest } = await levelFiles(3);
    const all = liveTables(manifest);
    expect(liveTables(Buffer.concat([manifest, Buffer.from('torn at the end of it')]))).toEqual(all);
    for (let size = 0; size < manifest.length; size++) {
      for (const number of liveTables(manifest.subarray(0, size))) expect(number).toBeLessThan(100);
    }
  });
});

it('the checksum is the CRC-32C of RFC 3720', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
});
