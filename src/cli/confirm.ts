/** Asking before something that cannot be undone: `--yes` answers, else a person at a terminal does, else it is refused. */
import { createInterface } from 'node:readline/promises';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { YES } from './command-flags.ts';
import type { Context } from './context.ts';

/** `what` is a sentence that says what will be gone. Throws TsflannelError (exit 9) when the answer is not yes. */
export async function confirm(context: Context, what: string): Promise<void> {
  if (context.given.get(YES) === true) return;
  const { stdin, stderr } = context.terminal;
  if (stdin.isTTY !== true || stderr.isTTY !== true)
    throw unsafe('needs-yes', what, 'Give --yes to do it without being asked.');
  context.output.remark(`${what}\nType "yes" to go on:`);
  const lines = createInterface({ input: stdin });
  const { value: answer } = await lines[Symbol.asyncIterator]().next();
  lines.close();
  if (answer !== 'yes') throw unsafe('not-confirmed', what, 'Nothing was changed.');
}

function unsafe(code: string, what: string, fix: string): TsflannelError {
  return new TsflannelError(refuse(code, EXIT.unsafe, what, fix));
}
