/** The README's first command, as it is built: exit codes, last lines, and what it leaves. */

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type RunResult, run, tryRun } from '../lab/command.ts';

const script = fileURLToPath(new URL('../../dist/test/demo/demo.js', import.meta.url));

/** `below`: words in front of the command line. */
const demo = (below: readonly string[] = [], words: readonly string[] = []): Promise<RunResult> =>
  tryRun([...below, process.execPath, script, ...words], { timeoutMs: 170_000 });

/** Those of the demo that printed this. */
async function namespacesOf(stdout: string): Promise<readonly string[]> {
  const [, prefix = ''] = /network namespace (\S+)-a$/m.exec(stdout) ?? [];
  expect(prefix).not.toBe('');
  return (await run(['ip', 'netns', 'list'])).split('\n').filter((line) => line.startsWith(`${prefix}-`));
}

const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? '';

describe('the demo', () => {
  test('shows every container reaching every other, with engines, and leaves nothing', async () => {
    const { code, stdout } = await demo();
    expect([code, stdout]).toEqual([0, expect.stringContaining('of a Docker engine')]);
    expect(lastLine(stdout)).toContain('Every container reached every other');
    expect(await namespacesOf(stdout)).toEqual([]);
  });

  test('--no-docker shows it with plain namespaces: 0', async () => {
    const { code, stdout } = await demo([], ['--no-docker']);
    expect([code, stdout]).toEqual([0, expect.not.stringContaining('of a Docker engine')]);
  });

  test('without an engine to be had: 3, and the last line says so', async () => {
    // In a mount namespace of its own, where the engine is no program.
    const hide = 'mount --bind /dev/null "$(command -v dockerd)" && exec "$@"';
    const { code, stdout } = await demo(['unshare', '--mount', 'sh', '-c', hide, 'sh']);
    expect([code, lastLine(stdout)]).toEqual([3, 'NOT SHOWN: Docker']);
  });

  test('--keep leaves the hosts, tells how to enter them, and how to remove them', async () => {
    const { code, stdout } = await demo([], ['--keep', '--no-docker']);
    expect([code, stdout]).toEqual([0, expect.any(String)]);
    const [, enter = '', directory = ''] = /((\/\S+)\/enter) a tsflannel status/.exec(stdout) ?? [];
    try {
      const status = await tryRun([enter, 'd', 'tsflannel', 'status', '--json']);
      expect([status.code, JSON.parse(status.stdout)]).toMatchObject([0, { health: 'healthy' }]);
    } finally {
      await run([`${directory}/remove`]);
    }
    expect(await namespacesOf(stdout)).toEqual([]);
  });
});
