/** `agent`: runs an initialised host from its data directory. What a service manager starts. */
import { CONTACT } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';
import { joinReport } from '../ready-text.ts';
import { start } from '../start.ts';

export const agent: CommandFunction = async (context) => {
  const contacts = context.given.all(CONTACT) ?? [];
  return await start(context, {
    launch: (launcher, options) => launcher.agent({ ...options, contacts }),
    report: joinReport,
    secret: null,
    becomesService: false,
  });
};
