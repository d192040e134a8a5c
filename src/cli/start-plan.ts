/** What `init`, `join` and `agent` differ in, and the options that every start takes. */
import { givenAgentOptions } from './agent-flags.ts';
import type { Context } from './context.ts';
import type { Launcher, Ready, Running, StartOptions } from './launcher.ts';
import type { Report } from './output.ts';

export interface StartPlan<R extends Ready> {
  readonly launch: (launcher: Launcher, options: StartOptions) => Promise<Running<R>>;
  readonly report: (ready: R) => Report;
  /** A token that must not stand on the command line of the background process, and the word it stands for there. */
  readonly secret: { readonly word: string; readonly text: string } | null;
  /** Where systemd has our unit, a detached start ends as the service. */
  readonly becomesService: boolean;
}

export async function startOptions(context: Context): Promise<StartOptions> {
  return {
    ...context.directories,
    given: await givenAgentOptions(context.given),
    timeoutMs: context.timeoutMs(),
    log: await context.log(),
  };
}
