/** `member demote NODE`: it is to vote no more. */
import type { RoleChange } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { DEFAULT_WAIT_MS } from '../options.ts';

export const memberDemote: CommandFunction = async (context, [node = '']) => {
  const changed = await context.ask(
    'memberRole',
    { node, role: 'learner' },
    context.timeoutMs(DEFAULT_WAIT_MS),
  );
  context.output.report({ document: changed, text: demotedText(changed) });
  return EXIT.ok;
};

function demotedText({ node, pending }: RoleChange): string {
  return pending ?? `${node.name} is a learner`;
}
