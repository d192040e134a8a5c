/** `snapshot inspect FILE`: verifies a snapshot and shows what it holds. Needs no agent and no cluster. */
import { formatNetworkConfig } from '../../config/network-config.ts';
import { EXIT } from '../../errors.ts';
import { leaseOverview, memberOverview } from '../../subnet/overview.ts';
import type { SnapshotFile } from '../../subnet/snapshot-file.ts';
import type { CommandFunction } from '../context.ts';
import type { Report } from '../output.ts';
import { overviewText } from '../overview-text.ts';
import { readSnapshot } from '../snapshot-input.ts';
import { duration, pairs } from '../table.ts';

export const snapshotInspect: CommandFunction = async (context, [path = '']) => {
  context.output.report(inspection(await readSnapshot(path)));
  return EXIT.ok;
};

function inspection({ state, ...header }: SnapshotFile): Report {
  const { clusterId, epoch, index, config, configRevision } = state;
  const { savedBy, savedAt, staleMs, term, voters } = header;
  const members = memberOverview(state, voters);
  const leases = leaseOverview(state);
  const facts = pairs([
    ['cluster', clusterId],
    ['epoch', String(epoch)],
    ['index', `${index}, term ${term}`],
    ['saved', `${savedAt} by ${members.find(({ id }) => id === savedBy)?.name ?? savedBy}`],
    ['age then', duration(staleMs)],
    ['config', `revision ${configRevision}`],
  ]);
  return {
    document: {
      clusterId,
      epoch,
      index,
      term,
      savedBy,
      savedAt,
      staleMs,
      members,
      leases,
      configRevision,
      config,
    },
    text: `${facts}\n\n${overviewText(members, leases)}\n\n${formatNetworkConfig(config)}`,
  };
}
