/** `leases`: which host holds which subnet. */
import type { LeaseEntry } from '../../control/answers.ts';
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';
import { both, orDash, table } from '../table.ts';

export const leases: CommandFunction = async (context) => {
  reportLocal(context, await context.ask('leases', {}), leaseTable);
  return EXIT.ok;
};

function leaseTable(all: readonly LeaseEntry[]): string {
  const rows = all.map(({ subnet, ipv6Subnet, nodeName, publicIp, publicIpv6, ...lease }) => [
    both(subnet, ipv6Subnet),
    nodeName,
    both(publicIp, publicIpv6),
    lease.backendType,
    lease.reserved ? `${lease.state}, reserved` : lease.state,
    orDash(lease.expiresAt),
  ]);
  return table(['SUBNET', 'HOST', 'ADDRESS', 'BACKEND', 'STATE', 'EXPIRES'], rows);
}
