/** `members`: the hosts of the cluster. */
import type { Member } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';
import { both, duration, orDash, shortId, table } from '../table.ts';

export const members: CommandFunction = async (context) => {
  reportLocal(context, await context.ask('members', {}), memberTable);
  return EXIT.ok;
};

function memberTable(all: readonly Member[]): string {
  const rows = all.map(({ id, name, publicIp, publicIpv6, role, leader, lastContactMs, matchIndex }) => [
    shortId(id),
    name,
    both(publicIp, publicIpv6),
    leader ? `${role}, leader` : role,
    lastContactMs === null ? '-' : `${duration(lastContactMs)} ago`,
    orDash(matchIndex),
  ]);
  return table(['ID', 'NAME', 'ADDRESS', 'ROLE', 'LAST CONTACT', 'MATCH INDEX'], rows);
}
