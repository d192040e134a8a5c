/**
 * Ending the agent of this host, however it runs: as a service, which must not be restarted behind our back, by the
 * local API, or by a signal when it does not answer. The kernel keeps what the agent put there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Context } from './context.ts';
import { agentPid, isAgent } from './pid-file.ts';
import { isService } from './service-manager.ts';

/** An agent stops within 5 s. */
const STOP_MS_MAX = 10_000;
const POLL_MS = 20;

/** Returns when no agent runs any more. `forGood`: not after the next boot either. */
export async function stopAgent(context: Context, { forGood }: { readonly forGood: boolean }): Promise<void> {
  const { services, directories } = context;
  if (await isService(services, directories)) {
    if (forGood) await services.disableAndStop();
    else await services.stop();
  }
  const pid = await runningAgent(context);
  if (pid === null) return;
  await requestStop(context, pid);
  await ended(pid);
}

async function runningAgent(context: Context): Promise<number | null> {
  try {
    return (await context.ask('version', {})).pid;
  } catch (error) {
    if (!(error instanceof TsflannelError)) throw error;
    return await agentPid(context.directories.runDir);
  }
}

async function requestStop(context: Context, pid: number): Promise<void> {
  try {
    await context.ask('shutdown', {});
  } catch (error) {
    if (!(error instanceof TsflannelError)) throw error;
    if (await isAgent(pid)) process.kill(pid, 'SIGTERM');
  }
}

async function ended(pid: number): Promise<void> {
  const deadline = performance.now() + STOP_MS_MAX;
  while (await isAgent(pid)) {
    if (performance.now() >= deadline) throw stillRunning(pid);
    await sleep(POLL_MS);
  }
}

function stillRunning(pid: number): TsflannelError {
  return new TsflannelError(
    refuse(
      'agent-does-not-stop',
      EXIT.timeout,
      `The agent (process ${pid}) is still running ${STOP_MS_MAX / 1_000} s after it was told to stop.`,
      `Look at its log; "kill -9 ${pid}" ends it, then run the command again.`,
    ),
  );
}
