/**
 * `node dist/test/sim/path-main.js <first seed> <seeds> [<mistake>]`: the paths of a host in worlds from seeds. Prints a
 * line for each seed that breaks a rule, and a line of JSON with sums at the end. With a mistake, planted in a copy of
 * the compiled modules, it ends with the first that breaks one.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PathTable } from '../../src/path/path-table.ts';
import { PATH_MISTAKES, type PathMistake } from './path-mistakes.ts';
import { PathWorld } from './path-world.ts';

export interface PathSums {
  readonly seeds: number;
  readonly violations: number;
  readonly leaves: number;
  readonly returns: number;
  readonly falseLeaves: number;
  readonly probes: number;
}

const SECONDS = 120;
const source = fileURLToPath(new URL('../../src/', import.meta.url));

async function mistaken({ name, file, find, replace }: PathMistake): Promise<typeof PathTable> {
  const directory = mkdtempSync(join(tmpdir(), 'path-mistake-'));
  try {
    const filter = (path: string): boolean => !/\.(d\.ts|map)$/.test(path);
    for (const part of ['path', 'net'])
      cpSync(join(source, part), join(directory, part), { recursive: true, filter });
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    const path = join(directory, 'path', file);
    const text = readFileSync(path, 'utf8');
    if (text.split(find).length !== 2) throw new Error(`${file} has not one place for "${name}"`);
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
    const { PathTable: table } = await import(pathToFileURL(join(directory, 'path', 'path-table.js')).href);
    return table;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function main(): Promise<void> {
  const [first = 1, count = 100] = process.argv.slice(2, 4).map(Number);
  const mistake = PATH_MISTAKES.find(({ name }) => name === process.argv[4]);
  const Table = mistake === undefined ? PathTable : await mistaken(mistake);
  const sums = { seeds: 0, violations: 0, leaves: 0, returns: 0, falseLeaves: 0, probes: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const run = new PathWorld((random, nowMs) => new Table(random, nowMs), seed).run(SECONDS);
    sums.seeds++;
    for (const key of ['leaves', 'returns', 'falseLeaves', 'probes'] as const) sums[key] += run[key];
    if (run.violation === null) continue;
    sums.violations++;
    process.stdout.write(`${run.violation}\n`);
    if (mistake !== undefined) break;
  }
  process.stdout.write(`${JSON.stringify(sums)}\n`);
}

await main();
