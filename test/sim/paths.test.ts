/**
 * The choice of paths in worlds from seeds: loss, blackholes of one way and of both, flaps, restarts, lookups that change
 * their mind, limits of length and peers that are idle. It is never on a dead path for more than three seconds while the
 * other one is alive, and returns at most once a minute. And the worlds are checked: each planted mistake must be found.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { PathSums } from './path-main.ts';
import { PATH_MISTAKES } from './path-mistakes.ts';

/** Nobody has looked at these while the choice was written. */
const FIRST_SEED = 7_000_001;
const SEEDS = process.env['TSFLANNEL_TEST_LONG'] === undefined ? 600 : 10_000;
const PROCESSES = 2;
const MISTAKE_SEEDS = 150;

const program = fileURLToPath(new URL('../../dist/test/sim/path-main.js', import.meta.url));

async function run(...words: readonly (string | number)[]): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words.map(String)]);
  return stdout.trim().split('\n');
}

test('no seed breaks a rule', async () => {
  const share = SEEDS / PROCESSES;
  const parts = await Promise.all(
    Array.from({ length: PROCESSES }, (_, part) => run(FIRST_SEED + part * share, share)),
  );
  const sums = parts.map((lines): PathSums => JSON.parse(lines.at(-1) ?? ''));
  expect(parts.flatMap((lines) => lines.slice(0, -1))).toEqual([]);
  // Something happened in them, and hardly a path was left for nothing.
  const total = (key: keyof PathSums): number => sums.reduce((sum, part) => sum + part[key], 0);
  expect(total('leaves')).toBeGreaterThan(SEEDS);
  expect(total('returns')).toBeGreaterThan(SEEDS);
  expect(total('falseLeaves')).toBeLessThan(SEEDS / 100);
});

describe('a planted mistake is found', () => {
  test.each(PATH_MISTAKES)('$name', async ({ name }) => {
    const lines = await run(1, MISTAKE_SEEDS, name);
    expect(lines.length).toBe(2);
  });
});
