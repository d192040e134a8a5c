/** The example of raft/README.md, as a user of the package would run it. Needs the build. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = new URL('../../../', import.meta.url).pathname;

it('the example in the README runs', () => {
  const readme = readFileSync(join(ROOT, 'raft/README.md'), 'utf8');
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  // Inside of the package its own name can be imported.
  const directory = mkdtempSync(join(ROOT, 'dist/readme-'));
  try {
    const file = join(directory, 'example.mjs');
    writeFileSync(file, example);
    const output = execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000 });
    expect(output).toBe('the counter is 42\n');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
