/** `member promote NODE`: it is to vote. */
import type { RoleChange } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { DEFAULT_WAIT_MS } from '../options.ts';

export const memberPromote: CommandFunction = async (context, [node = '']) => {
  const changed = await context.ask(
    'memberRole',
    { node, role: 'voter' },
    context.timeoutMs(DEFAULT_WAIT_MS),
  );
  context.output.report({ document: changed, text: promotedText(changed) });
  return EXIT.ok;
};

function promotedText({ node, pending }: RoleChange): string {
  return pending ?? `${node.name} votes`;
}
