/** Runs a plan: the agent in this process, or left in the background. */
import type { ExitCode } from '../errors.ts';
import { DETACH } from './command-flags.ts';
import type { Context } from './context.ts';
import type { Ready } from './launcher.ts';
import type { StartPlan } from './start-plan.ts';

export async function start<R extends Ready>(context: Context, plan: StartPlan<R>): Promise<ExitCode> {
  if (context.given.get(DETACH) === true) {
    const { runDetached } = await import('./detach.ts');
    return await runDetached(context, plan);
  }
  const { runInForeground } = await import('./foreground.ts');
  return await runInForeground(context, plan);
}
