import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ofEpoch, removeOtherEpochs } from '../../../src/cluster/epoch.ts';

const OWN = ['agent.json', 'cluster.json', 'identity.json', 'lock', 'carton', 'rafters'];
const FIRST = ['ca.key', 'raft', 'raft.replica'];
const SECOND = ['ca-2.key', 'raft-2', 'raft-2.replica'];

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsflannel-'));
  for (const name of [...OWN, ...FIRST, ...SECOND]) {
    if (/^raft(-2)?$/.test(name)) await mkdir(join(directory, name, 'deep'), { recursive: true });
    else await writeFile(join(directory, name), '');
  }
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

test('the first epoch has the plain names', () => {
  expect([ofEpoch('raft', 1), ofEpoch('ca', 1), ofEpoch('raft', 12)]).toEqual(['raft', 'ca', 'raft-12']);
});

test.each([
  [1, FIRST],
  [2, SECOND],
  [3, []],
  [null, []],
])('keeping epoch %s removes the files of the others and nothing else', async (kept, names) => {
  await removeOtherEpochs(directory, kept);
  expect((await readdir(directory)).sort()).toEqual([...OWN, ...names].sort());
});

test('a directory that is not there has nothing to remove', async () => {
  await removeOtherEpochs(join(directory, 'missing'), null);
  expect((await readdir(directory)).length).toBe(OWN.length + FIRST.length + SECOND.length);
});
