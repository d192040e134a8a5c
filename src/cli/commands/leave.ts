/** `leave`: gives the lease back and leaves the cluster, then takes this host's part out of the kernel. */
import type { Left } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import { YES } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';
import { stopAgent } from '../stop-agent.ts';

export const leave: CommandFunction = async (context) => {
  const { directories, output, deps } = context;
  const left = await context.ask('leave', { yes: context.given.get(YES) === true });
  await stopAgent(context, { forGood: true });
  const { removed } = await deps.teardown({ ...directories, purge: false, log: await context.log('warn') });
  output.report({ document: { ...left, removed }, text: leftText(left) });
  return EXIT.ok;
};

function leftText({ node, subnet }: Left): string {
  return subnet === null ? `${node.name} has left` : `${node.name} has left and given ${subnet} back`;
}
