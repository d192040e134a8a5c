/**
 * Starts the replica of this host and decides what its end means: one that cannot go on takes the process with it, one
 * whose peers have seen its disk further than it is now must not run at all.
 */

import { existsSync } from 'node:fs';
import type { LevelStorage } from '../../raft/storage/level.ts';
import { RolledBackError } from '../../raft/transport/errors.ts';
import type { Membership } from '../cluster/cluster-file.ts';
import type { Identity } from '../cluster/identity.ts';
import { Replica } from '../cluster/replica.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type Ip, toIp } from '../net/ip.ts';
import { controlAddress } from '../path/interface-selection.ts';
import type { Workplace } from './workplace.ts';

/** All interfaces: addresses of a running host may change. */
/** Takes IPv4 as well, where the kernel has IPv6. */
const ANY = existsSync('/proc/net/if_inet6') ? '::' : '0.0.0.0';

export interface ReplicaStart {
  readonly workplace: Workplace;
  readonly identity: Identity;
  readonly membership: Membership;
  readonly caKey: string | null;
  /** Null but for `init`. */
  readonly founding: readonly Ip[] | null;
  readonly storage: LevelStorage;
}

/** Closes the storage when it fails. Rejects as Replica.start does. */
export async function startReplica({ workplace, storage, ...rest }: ReplicaStart): Promise<Replica> {
  const { options, watcher, start } = workplace;
  const { log, dataDir } = start;
  try {
    return await Replica.start({
      ...rest,
      storage,
      bind: { host: ANY, port: options.port },
      address: watcher.selection === null ? toIp(ANY) : controlAddress(watcher.selection, 4),
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
