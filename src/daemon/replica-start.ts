/**
 * Starts the replica of this host and decides what its end means: one that cannot go on takes the process with it, one
 * whose peers have seen its disk further than it is now must not run at all.
 */

import { readFile } from 'node:fs/promises';
import type { LevelStorage } from '../../raft/storage/level.ts';
import { RolledBackError } from '../../raft/transport/errors.ts';
import type { Membership } from '../cluster/cluster-file.ts';
import type { Identity } from '../cluster/identity.ts';
import { Replica } from '../cluster/replica.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type Ip, ipFamily, toIp } from '../net/ip.ts';
import { controlAddress } from '../path/interface-selection.ts';
import type { Workplace } from './workplace.ts';

/** All interfaces: addresses of a running host may change. */
const BIND_V6_ONLY = '/proc/sys/net/ipv6/bindv6only';
const ANY_IPV4 = toIp('0.0.0.0');
const ANY_IPV6 = toIp('::');

export interface ReplicaStart {
  readonly workplace: Workplace;
  readonly identity: Identity;
  readonly membership: Membership;
  readonly caKey: string | null;
  /** Null but for `init`. */
  readonly founding: readonly Ip[] | null;
  /** What a founder is called by the others. */
  readonly address?: Ip;
  readonly storage: LevelStorage;
}

/** Closes the storage when it fails. Rejects as Replica.start does. */
export async function startReplica({
  workplace,
  storage,
  address: called,
  ...rest
}: ReplicaStart): Promise<Replica> {
  const { options, watcher, start } = workplace;
  const { log, dataDir } = start;
  const own = watcher.selection === null ? null : controlAddress(watcher.selection, 4);
  const address = called ?? own ?? ANY_IPV4;
  try {
    return await Replica.start({
      ...rest,
      storage,
      bind: { host: await wildcard(address), port: options.port },
      address,
      log,
      onFatal: (error) => {
        log.error('replica-failed', 'The replica of this host cannot go on.', { err: error });
        // Nothing may be voted, acknowledged or half-done any more: the service manager starts a fresh process.
        if (!(error instanceof RolledBackError)) process.exit(EXIT.failed);
        workplace.disqualify(rolledBack(dataDir, error));
      },
    });
  } catch (error) {
    await storage.close();
    throw error;
  }
}

/** Of IPv6 takes IPv4 as well, unless the kernel has none of it or was told to keep the two apart. */
async function wildcard(own: Ip): Promise<Ip> {
  const isApart = await readFile(BIND_V6_ONLY, 'utf8').catch(() => null); // no IPv6
  if (isApart === null) return ANY_IPV4;
  return isApart.trim() === '1' && ipFamily(own) === 4 ? ANY_IPV4 : ANY_IPV6;
}

function rolledBack(dataDir: string, cause: RolledBackError): TsflannelError {
  return new TsflannelError(
    refuse(
      'rolled-back',
      EXIT.refused,
      `The data directory ${dataDir} is older than what the other hosts have seen of it: it was rolled back or copied.`,
      'Use the newer directory if there is one; else run "tsflannel member remove" for this host on a voter, then "tsflannel down --purge" here, and join anew.',
    ),
    { cause },
  );
}
