/** What a recovered or restored cluster needs next, for `recover` and `snapshot restore`. Pure. */
import type { Report } from './output.ts';
import type { NewEpoch } from './recovery.ts';
import { pairs, shortId } from './table.ts';

export function newEpochReport(made: NewEpoch): Report {
  const { clusterId, epoch, node, joinCommand } = made;
  const facts = pairs([
    ['cluster', clusterId],
    ['epoch', String(epoch)],
    ['node', `${node.name} (${shortId(node.id)})`],
  ]);
  const next = [
    'Start the agent on this host ("systemctl start tsflannel" or "tsflannel agent").',
    'On every other host that is to go on, stop the agent and run',
  ].join('\n');
  return { document: made, text: `${facts}\n\n${next}\n\n  ${joinCommand}\n` };
}
