/** `member transfer-leader [NODE]`: another voter leads, such as before maintenance of the one that does. */
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';

export const memberTransferLeader: CommandFunction = async (context, [node]) => {
  const now = await context.ask('transferLeader', { node: node ?? null });
  context.output.report({ document: now, text: `${now.leader.name} leads` });
  return EXIT.ok;
};
