/**
 * The simulator is checked: each mistake of mutants.ts is planted in a copy of the library, and the seeds must find it,
 * each within 500, while the library itself stands the same seeds. One that is not found is a fault or a rule that the
 * simulator lacks.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { Catch } from './hunt.ts';
import { MUTANTS } from './mutants.ts';

/** Nobody has ever looked at these. */
const FIRST_SEED = 11_000_001;
const SEEDS = 500;
const PROCESSES = 2;

const program = fileURLToPath(new URL('../../dist/test/mutants/hunt.js', import.meta.url));

async function hunt(part: number): Promise<readonly Catch[]> {
  const words = [FIRST_SEED, SEEDS, part, PROCESSES].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words]);
  return stdout
    .trim()
    .split('\n')
    .map((line): Catch => JSON.parse(line));
}

it('every planted mistake is found, and nothing without it', async () => {
  const parts = await Promise.all(Array.from({ length: PROCESSES }, (_, part) => hunt(part)));
  const catches = parts.flat();
  expect(catches.map(({ name }) => name).toSorted()).toEqual(MUTANTS.map(({ name }) => name).toSorted());
  expect(catches.filter(({ seeds }) => seeds === null)).toEqual([]);
  expect(catches.filter(({ control }) => control !== null)).toEqual([]);
});

it('they are as many as real implementations have shown, and each another one', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(25);
  expect(new Set(MUTANTS.map(({ file, replace }) => file + replace)).size).toBe(MUTANTS.length);
});
