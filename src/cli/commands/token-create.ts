/** `token create`: a secret that admits hosts, shown this one time, and the line to join with. */
import type { CreatedToken } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import { ROLE, TTL, USES } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';
import { usageError } from '../given.ts';
import { pairs } from '../table.ts';

const TTL_MS_DEFAULT = 86_400_000;

export const tokenCreate: CommandFunction = async (context) => {
  const { given } = context;
  const ttlMs = given.get(TTL) ?? TTL_MS_DEFAULT;
  if (ttlMs === 0) throw usageError('--ttl: a token that lasts 0 s admits nobody.');
  const params = { role: given.get(ROLE) ?? 'learner', ttlMs, uses: given.get(USES) ?? null };
  const created = await context.ask('tokenCreate', params);
  context.output.report({ document: created, text: tokenText(created) });
  return EXIT.ok;
};

function tokenText({ id, role, expiresAt, usesLeft, joinCommand }: CreatedToken): string {
  const facts = pairs([
    ['token', id],
    ['role', role],
    ['expires', expiresAt],
    ['uses', usesLeft === null ? 'unlimited' : String(usesLeft)],
  ]);
  return `${facts}\n\nOn the host that joins run\n\n  ${joinCommand}\n`;
}
