/** `token revoke ID`: nobody joins with it any more. Who has joined stays. */
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';

export const tokenRevoke: CommandFunction = async (context, [id = '']) => {
  const revoked = await context.ask('tokenRevoke', { id });
  context.output.report({ document: revoked, text: `token ${revoked.id} is revoked` });
  return EXIT.ok;
};
