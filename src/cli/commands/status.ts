/**
 * `status`: one screen of how this host is, and an exit code of the same meaning. `--watch` shows it again whenever it
 * changes, `--wait` returns when something holds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, type ExitCode, TsflannelError } from '../../errors.ts';
import type { Status } from '../../observe/status.ts';
import { WAIT, WATCH } from '../command-flags.ts';
import type { CommandFunction, Context } from '../context.ts';
import { usageError } from '../given.ts';
import { failureDocument, type Report } from '../output.ts';
import { statusText } from '../status-text.ts';
import { waitFor } from '../wait.ts';

const WATCH_MS = 1_000;

export const status: CommandFunction = async (context) => {
  const target = context.given.get(WAIT);
  const watch = context.given.get(WATCH) === true;
  if (target !== undefined && watch) throw usageError('--wait and --watch exclude each other.');
  if (target !== undefined) return await waitFor(context, target);
  return watch ? await watchStatus(context) : await showStatus(context);
};

async function showStatus(context: Context): Promise<ExitCode> {
  const answer = await context.ask('status', {});
  context.output.report(reportOf(context, answer));
  return exitCodeOf(answer);
}

/** Until it is interrupted. An agent that goes away is part of what is watched. */
async function watchStatus(context: Context): Promise<never> {
  let last = '';
  for (;;) {
    const report = await context.ask('status', {}).then(
      (answer) => reportOf(context, answer),
      (error: unknown) => absence(error),
    );
    const seen = JSON.stringify(report.document);
    if (seen !== last) context.output.next(report);
    last = seen;
    await sleep(WATCH_MS);
  }
}

function reportOf(context: Context, answer: Status): Report {
  return { document: answer, text: statusText(answer, context.output.paint) };
}

function absence(error: unknown): Report {
  if (!(error instanceof TsflannelError)) throw error;
  return { document: failureDocument(error.refusal), text: `${error.refusal.text}\n${error.refusal.fix}` };
}

function exitCodeOf({ health }: Status): ExitCode {
  switch (health) {
    case 'healthy':
      return EXIT.ok;
    case 'degraded':
      return EXIT.degraded;
    case 'no-quorum':
      return EXIT.noQuorum;
  }
}
