/**
 * Runs every scenario file of this directory and compares what happens with what the file says, line by line. After a
 * wanted change of behaviour `UPDATE_GOLDEN=1 npx vitest run --project unit test/golden` writes the files anew, and the
 * difference is there to be read.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Scenario } from './commands.ts';
import { type Block, parseScript, renderScript } from './script.ts';

const directory = fileURLToPath(new URL('.', import.meta.url));
const files = readdirSync(directory)
  .filter((name) => name.endsWith('.txt'))
  .toSorted();

/** The file with the output that its commands have today. */
function replayed(text: string): string {
  const scenario = new Scenario();
  const blocks = parseScript(text).map(
    (block): Block => ({ ...block, output: block.commands.flatMap((command) => scenario.run(command)) }),
  );
  return renderScript(blocks);
}

describe('scenario', () => {
  test.each(files)('%s', (name) => {
    const path = `${directory}${name}`;
    const text = readFileSync(path, 'utf8');
    const actual = replayed(text);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, actual);
    else expect(actual).toBe(text);
  });

  test('files say what they show', () => {
    expect(files.length).toBeGreaterThanOrEqual(30);
    for (const name of files) expect(readFileSync(`${directory}${name}`, 'utf8'), name).toMatch(/^# /);
  });
});

test('a difference is noticed, wherever it is', () => {
  const text = '# Alone.\n\nstart {1}\ntick 1\nstatus\n----\n';
  const actual = replayed(text);
  expect(actual).not.toBe(text);
  expect(replayed(actual)).toBe(actual);
  expect(replayed(actual.replace('leader t2', 'leader t3'))).toBe(actual);
});

test.each([
  ['jump 1', 'no command jump'],
  ['start 1 2', 'no configuration'],
  ['status 7', 'no replica 7'],
  ['keep x 1>2', 'nothing under way'],
])('%s is refused', (command, reason) => {
  expect(() => new Scenario().run(command)).toThrow(reason);
});
