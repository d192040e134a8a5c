/** `token list`: the tokens that are still good. Their secrets are not known to anybody any more. */
import type { TokenEntry } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';
import { table } from '../table.ts';

export const tokenList: CommandFunction = async (context) => {
  reportLocal(context, await context.ask('tokenList', {}), tokenTable);
  return EXIT.ok;
};

function tokenTable(all: readonly TokenEntry[]): string {
  const rows = all.map(({ id, role, expiresAt, usesLeft }) => [
    id,
    role,
    expiresAt,
    usesLeft === null ? 'unlimited' : String(usesLeft),
  ]);
  return table(['ID', 'ROLE', 'EXPIRES', 'USES LEFT'], rows);
}
