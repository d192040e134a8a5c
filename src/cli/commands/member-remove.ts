/** `member remove NODE`: a host that will not come back leaves the cluster. One that runs leaves by itself (`leave`). */
import type { RemovedMember } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import { YES } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';

export const memberRemove: CommandFunction = async (context, [node = '']) => {
  const yes = context.given.get(YES) === true;
  const removed = await context.ask('memberRemove', { node, yes });
  context.output.report({ document: removed, text: removedText(removed) });
  return EXIT.ok;
};

function removedText({ node, subnet, released }: RemovedMember): string {
  if (subnet === null) return `${node.name} is no member any more`;
  return released
    ? `${node.name} is no member any more, and ${subnet} is given back`
    : `${node.name} is no member any more; ${subnet} stays reserved for it (with --yes it is given back)`;
}
