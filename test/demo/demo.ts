/**
 * The demo's command line, which deploy/demo.sh hands its own to. Exit code 0 when every container reached every
 * other, 1 when any did not, 2 for a mistyped option, 3 when no engine was to be had and Docker was not shown.
 */
import { parseArgs } from 'node:util';
import { removeDirectory } from '../lab/leftovers.ts';
import { show } from './show.ts';
import { Stage } from './stage.ts';

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      keep: { type: 'boolean', default: false },
      loop: { type: 'string', default: '1' },
      'no-docker': { type: 'boolean', default: false },
      remove: { type: 'string' },
    },
  });
  const { keep, loop, 'no-docker': noDocker, remove } = values;
  if (remove !== undefined) {
    removeDirectory(remove);
    return 0;
  }
  const rounds = Number(loop);
  const stage = new Stage();
  let engineMissing: string | null = null;
  for (let round = 1; round <= rounds; round++) {
    if (rounds > 1) stage.say(`Round ${round} of ${rounds}`);
    const showing = await show(stage, { keep: keep && round === rounds, docker: !noDocker });
    if (!showing.reached) {
      stage.print('\nFAILED: not every container reached every other');
      return 1;
    }
    engineMissing ??= showing.engineMissing;
  }
  stage.say('Every container reached every other, in all directions, with its own address');
  if (engineMissing === null) return 0;
  stage.print('NOT SHOWN: Docker');
  return 3;
}

/** Ends at once: kept hosts are children of this process, which would wait for them. */
process.exit(
  await main().catch((error: unknown) => {
    process.stdout.write(`\nFAILED: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  }),
);
