import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { Random } from '../../raft/sim/random.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { EMPTY } from '../unit/raft/storage/contract.ts';
import { Databases, identity } from './databases.ts';

/** `npm run test:long`. */
const KILLS = process.env['TSFLANNEL_TEST_LONG'] === '1' ? 300 : 20;
const WRITER = fileURLToPath(new URL('../../dist/test/storage/writer.js', import.meta.url));

/** Lets the process write that much, kills it with SIGKILL, and returns the last thing it said. */
async function killAfter(directory: string, writes: number): Promise<string> {
  const child = spawn(process.execPath, [WRITER, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (lines.push(line) === writes) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return lines.at(-1) ?? '';
}

it('a killed process finds everything that it had acknowledged, and a whole database', async () => {
  await using databases = await Databases.make();
  const directory = databases.path();
  await (await LevelStorage.create(directory, identity, EMPTY)).close();
  const random = new Random(1);
  for (let kill = 0; kill < KILLS; kill++) {
    const said = (await killAfter(directory, random.integer(1, 40))).split(' ').map(Number);
    await using storage = await LevelStorage.open(directory, identity);
    const { entries, hardState } = await storage.load();
    // One more may be on the disk than it came to say.
    expect(entries.length - (said[0] ?? 0)).toBeOneOf([0, 1]);
    expect(hardState.term - (said[1] ?? 0)).toBeOneOf([0, 1]);
  }
});
