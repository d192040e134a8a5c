/**
 * `recover --force-new-cluster`: after most voters are lost for good, begins the cluster anew from what this host holds.
 * Offline. `--dry-run` shows what that is, so that the survivor that has lost the least can be chosen.
 */
import { EXIT } from '../../errors.ts';
import { DISCARD_UNCOMMITTED, DRY_RUN, FORCE_NEW_CLUSTER } from '../command-flags.ts';
import { confirm } from '../confirm.ts';
import type { CommandFunction } from '../context.ts';
import { usageError } from '../given.ts';
import { newEpochReport } from '../new-epoch-text.ts';
import type { Report } from '../output.ts';
import { overviewText } from '../overview-text.ts';
import type { Survey } from '../recovery.ts';
import { count, pairs, shortId } from '../table.ts';

export const recover: CommandFunction = async (context) => {
  const { given, directories, output } = context;
  if (given.get(FORCE_NEW_CLUSTER) !== true)
    throw usageError(
      'recover needs --force-new-cluster: it ends the cluster as it is and begins a new epoch from this host.',
      'Compare the survivors with "tsflannel recover --force-new-cluster --dry-run" first.',
    );
  const recovery = await context.deps.recovery();
  const options = { ...directories, discardUncommitted: given.get(DISCARD_UNCOMMITTED) === true };
  const survey = await recovery.survey(options);
  if (given.get(DRY_RUN) === true) {
    output.report(surveyReport(survey));
    return EXIT.ok;
  }
  await confirm(context, warning(survey));
  output.report(newEpochReport(await recovery.recover(options)));
  return EXIT.ok;
};

function warning({ clusterId, epoch, node, members, lastIndex, lastTerm, ...survey }: Survey): string {
  const others = members.filter(({ id }) => id !== node.id).map(({ name }) => name);
  return [
    `Epoch ${epoch + 1} of cluster ${clusterId} would begin on ${node.name} alone, from entry ${lastIndex} of term ${lastTerm}`,
    ` (${tailText(survey)}):`,
    ` ${others.join(', ') || 'nobody else'} would be out until they join again, keeping their leases,`,
    ' and every token would be revoked.',
  ].join('');
}

function tailText({ keptUncommitted, dropped }: Pick<Survey, 'keptUncommitted' | 'dropped'>): string {
  const entries = (n: number): string => count(n, 'entry', 'entries');
  return dropped > 0
    ? `${entries(dropped)} not known to be committed dropped`
    : `${entries(keptUncommitted)} not known to be committed kept`;
}

function surveyReport(survey: Survey): Report {
  const { clusterId, epoch, node, role, term, lastTerm, lastIndex, commitIndex, members, leases } = survey;
  const facts = pairs([
    ['cluster', clusterId],
    ['epoch', String(epoch)],
    ['node', `${node.name} (${shortId(node.id)}), ${role}`],
    ['last entry', `term ${lastTerm}, index ${lastIndex}`],
    ['committed', `index ${commitIndex}; ${tailText(survey)}`],
    ['term', String(term)],
  ]);
  const advice = 'Recover on the host with the highest last term, then the highest last index.';
  return { document: survey, text: `${facts}\n\n${overviewText(members, leases)}\n\n${advice}\n` };
}
