/**
 * `snapshot restore FILE`: begins the cluster anew on this host, from a file. Offline. Asks only where the host has
 * something to lose: its own part of that cluster.
 */
import { EXIT } from '../../errors.ts';
import type { SnapshotFile } from '../../subnet/snapshot-file.ts';
import { confirm } from '../confirm.ts';
import type { CommandFunction } from '../context.ts';
import { newEpochReport } from '../new-epoch-text.ts';
import { readSnapshot } from '../snapshot-input.ts';
import { startOptions } from '../start-plan.ts';

export const snapshotRestore: CommandFunction = async (context, [path = '']) => {
  const snapshot = await readSnapshot(path);
  const recovery = await context.deps.recovery();
  const here = await recovery.clusterOf(context.directories);
  if (here === snapshot.state.clusterId) await confirm(context, warning(snapshot));
  const made = await recovery.restore({ ...(await startOptions(context)), snapshot });
  context.output.report(newEpochReport(made));
  return EXIT.ok;
};

function warning({ savedAt, state: { clusterId, index } }: SnapshotFile): string {
  return [
    `This host is a member of cluster ${clusterId}, and a new epoch of it would begin here`,
    ` as it was at ${savedAt} (index ${index}): what this host holds of the cluster since then is lost,`,
    ' and hosts that still run the old epoch stay apart from it until they join again.',
  ].join('');
}
