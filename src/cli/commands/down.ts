/** `down`: takes this host's part out of the kernel, and with --purge off the disk. Needs no agent and no cluster. */
import { EXIT } from '../../errors.ts';
import { PURGE } from '../command-flags.ts';
import { confirm } from '../confirm.ts';
import type { CommandFunction } from '../context.ts';
import { stopAgent } from '../stop-agent.ts';

export const down: CommandFunction = async (context) => {
  const { directories, output, deps } = context;
  const purge = context.given.get(PURGE) === true;
  if (purge)
    await confirm(
      context,
      `This host would lose its identity, its keys and its copy of the cluster in ${directories.dataDir} for good.`,
    );
  await stopAgent(context, { forGood: purge });
  const { removed } = await deps.teardown({ ...directories, purge, log: await context.log('warn') });
  output.report({
    document: { removed },
    text: `removed ${removed.length === 0 ? 'nothing' : removed.join(', ')}`,
  });
  return EXIT.ok;
};
