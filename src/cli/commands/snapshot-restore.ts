/** `snapshot restore FILE`: begins the cluster anew on this host, from a file. Offline. */
import { EXIT } from '../../errors.ts';
import { confirm } from '../confirm.ts';
import type { CommandFunction } from '../context.ts';
import { newEpochReport } from '../new-epoch-text.ts';
import { readSnapshot } from '../snapshot-input.ts';
import { startOptions } from '../start-plan.ts';

export const snapshotRestore: CommandFunction = async (context, [path = '']) => {
  const snapshot = await readSnapshot(path);
  const { clusterId, index } = snapshot.state;
  await confirm(
    context,
    `A new epoch of cluster ${clusterId} would begin on this host alone, as it was at ${snapshot.savedAt} (index ${index}): what was decided later is lost, and hosts that still run the old epoch stay apart from it until they join again.`,
  );
  const recovery = await context.deps.recovery();
  context.output.report(
    newEpochReport(await recovery.restore({ ...(await startOptions(context)), snapshot })),
  );
  return EXIT.ok;
};
