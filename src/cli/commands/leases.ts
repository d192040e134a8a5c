/** `leases`: which host holds which subnet. */
import type { LeaseEntry } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';
import { orDash, table } from '../table.ts';

export const leases: CommandFunction = async (context) => {
  reportLocal(context, await context.ask('leases', {}), leaseTable);
  return EXIT.ok;
};

function leaseTable(all: readonly LeaseEntry[]): string {
  const rows = all.map(({ subnet, nodeName, publicIp, backendType, state, reserved, expiresAt }) => [
    subnet,
    nodeName,
    publicIp,
    backendType,
    reserved ? `${state}, reserved` : state,
    orDash(expiresAt),
  ]);
  return table(['SUBNET', 'HOST', 'ADDRESS', 'BACKEND', 'STATE', 'EXPIRES'], rows);
}
