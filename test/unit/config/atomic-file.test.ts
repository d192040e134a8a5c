import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readFileBounded, writeFileAtomic } from '../../../src/config/atomic-file.ts';

let directory = '';
let path = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'su-'));
  path = join(directory, 'file');
});
afterEach(() => rm(directory, { recursive: true }));

it('replaces the whole file with the mode asked for, whatever the umask', async () => {
  await writeFile(path, 'a much longer text before', { mode: 0o600 });
  const umask = process.umask(0o077);
  try {
    await writeFileAtomic(path, 'new', { mode: 0o644 });
  } finally {
    process.umask(umask);
  }
  expect(await readFile(path, 'utf8')).toBe('new');
  expect((await stat(path)).mode & 0o777).toBe(0o644);
  expect(await readdir(directory)).toEqual(['file']);
});

it('replaces a link and leaves what it pointed to', async () => {
  const target = join(directory, 'target');
  await writeFile(target, 'kept');
  await symlink(target, path);
  await writeFileAtomic(path, 'new', { mode: 0o644 });
  expect(await readFile(target, 'utf8')).toBe('kept');
  expect(await readFile(path, 'utf8')).toBe('new');
});

it('makes the parents only when asked', async () => {
  const deep = join(directory, 'a', 'b', 'file');
  await expect(writeFileAtomic(deep, '', { mode: 0o644 })).rejects.toThrow('ENOENT');
  await writeFileAtomic(deep, new Uint8Array([1]), { mode: 0o644, parentMode: 0o755 });
  expect(await readFile(deep)).toEqual(Buffer.of(1));
});

it('leaves no temporary file when it fails', async () => {
  await mkdir(path);
  await writeFile(join(path, 'inside'), '');
  await expect(writeFileAtomic(path, 'new', { mode: 0o644 })).rejects.toThrow();
  expect(await readdir(directory)).toEqual(['file']);
});

it('reads small regular files only', async () => {
  expect(await readFileBounded(path, 3)).toBeUndefined();
  await writeFile(path, 'abc');
  expect(await readFileBounded(path, 3)).toEqual(Buffer.from('abc'));
  expect(await readFileBounded(path, 2)).toHaveLength(0);
  expect(await readFileBounded(directory, 2)).toHaveLength(0);
  await chmod(path, 0o600);
  await expect(readFileBounded(join(path, 'x'), 2)).rejects.toThrow('ENOTDIR');
});
