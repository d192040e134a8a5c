/**
 * The command line as a function: words in, exit code out. Takes a token off the process list before anything else is
 * even loaded. The caller must leave with `process.exit(code)`: an agent that did not stop in time would keep the
 * process.
 */
import type { ExitCode } from '../errors.ts';
import type { CliDeps } from './context.ts';
import { showInProcessList } from './process-title.ts';

export type { CliDeps } from './context.ts';

/** `argv` as process.argv: the interpreter and the script come first. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<ExitCode> {
  const words = argv.slice(2);
  if (deps.terminal === undefined) showInProcessList(words);
  const { execute } = await import('./execute.ts');
  return await execute(words, deps);
}
