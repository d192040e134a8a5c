/**
 * An agent in this process, from start to exit code: prints what is worth knowing once it is ready, tells systemd, and
 * ends it within 5 s of SIGTERM or SIGINT, whatever it is doing then. Owns agent.pid. Started by `--detach` it reports
 * to its parent instead of printing, so that a token never reaches the log.
 */
import { EXIT, type ExitCode, refuse, TsflannelError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import { type NotifyState, notifySystemd } from '../observe/sd-notify.ts';
import type { Context } from './context.ts';
import { type ParentChannel, parentChannel } from './detach-channel.ts';
import type { Ready, Running, StartOptions } from './launcher.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { type StartPlan, startOptions } from './start-plan.ts';
import { StopRequest } from './stop-request.ts';

export async function runInForeground<R extends Ready>(
  context: Context,
  plan: StartPlan<R>,
): Promise<ExitCode> {
  const parent = parentChannel(context.terminal.environment);
  const stop = new StopRequest();
  try {
    const options = await startOptions(context);
    return await Promise.race([supervise(context, plan, { options, stop, parent }), stop.overdue]);
  } finally {
    stop.release();
  }
}

interface Surroundings {
  readonly options: StartOptions;
  readonly stop: StopRequest;
  readonly parent: ParentChannel | null;
}

async function supervise<R extends Ready>(
  context: Context,
  plan: StartPlan<R>,
  { options, stop, parent }: Surroundings,
): Promise<ExitCode> {
  stop.whenRequested(interrupted);
  const running = await plan.launch(await context.deps.launcher(), options);
  // Either may reject while nobody or only the other is awaited: the first that does is thrown by untilStopped.
  running.ready.catch(() => undefined);
  running.stopped.catch(() => undefined);
  const say = async (ready: R): Promise<void> => {
    const report = plan.report(ready);
    if (parent === null) context.output.report(report);
    else await parent.send({ kind: 'ready', report });
  };
  stop.whenRequested(async () => {
    await notify(options.log, 'STOPPING=1');
    await running.stop();
  });
  await writePidFile(options.runDir);
  try {
    return await untilStopped(running, say, options.log);
  } catch (error) {
    await running.stop();
    if (stop.requested) return await running.stopped; // what a start says when it is cut short is no news
    throw error;
  } finally {
    await removePidFile(options.runDir);
  }
}

/** A start can be cut short anywhere, as by a power failure: there is nothing to wait for. */
async function interrupted(): Promise<never> {
  throw new TsflannelError(
    refuse(
      'interrupted',
      EXIT.failed,
      'It was interrupted before the agent ran.',
      'The same command again goes on where this one ended.',
    ),
  );
}

async function untilStopped<R extends Ready>(
  running: Running<R>,
  say: (ready: R) => Promise<void>,
  log: Log,
): Promise<ExitCode> {
  const ready = await Promise.race([running.ready, running.stopped.then(() => null)]);
  if (ready === null) return await running.stopped;
  await say(ready);
  await notify(log, 'READY=1');
  try {
    return await running.stopped;
  } catch (error) {
    if (!(error instanceof TsflannelError)) throw error;
    // What the command had to say on standard output is said.
    const { code, text, fix, exitCode } = error.refusal;
    log.error(code, text, { fix });
    await running.stop();
    return exitCode;
  }
}

/** A service manager that cannot be told is no reason to stop what containers rely on. */
async function notify(log: Log, state: NotifyState): Promise<void> {
  try {
    await notifySystemd(state);
  } catch (error) {
    log.warn('sd-notify-failed', `systemd could not be told ${state}`, { err: error });
  }
}
