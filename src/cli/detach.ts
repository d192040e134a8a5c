/**
 * `--detach`: the same command without it, in a session of its own, with its output in agent.log. Returns when that
 * agent says that it is ready, or why not. The token goes over standard input and never stands on a command line. Where
 * systemd has our unit, `init` and `join` end as the enabled and started service instead.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { deadline } from '../deadline.ts';
import { EXIT, type ExitCode, refuse, TsflannelError } from '../errors.ts';
import type { Context } from './context.ts';
import { type DetachMessage, isDetachMessage } from './detach-channel.ts';
import type { Ready } from './launcher.ts';
import { DEFAULT_WAIT_MS, DETACHED_VARIABLE } from './options.ts';
import { isService } from './service-manager.ts';
import type { StartPlan } from './start-plan.ts';
import { TOKEN_VARIABLE } from './token-source.ts';

/** They save about a third of an agent's memory. */
const NODE_FLAGS = ['--optimize-for-size', '--max-semi-space-size=2'];
/** libuv reads it before any of our code runs: LevelDB's syncs must not wait for each other. */
const THREADS = '6';
/** The agent says itself what it did not reach in time; this is for one that says nothing. */
const GRACE_MS = 5_000;

export async function runDetached<R extends Ready>(context: Context, plan: StartPlan<R>): Promise<ExitCode> {
  const timeoutMs = context.timeoutMs(DEFAULT_WAIT_MS);
  const logFile = join(context.directories.runDir, 'agent.log');
  const child = await spawnAgent(context, plan, { timeoutMs, logFile });
  const message = await firstWord(child, timeoutMs + GRACE_MS, logFile);
  if (message.kind === 'failed') throw new TsflannelError(message.refusal);
  if (plan.becomesService && (await isService(context.services, context.directories))) {
    await end(child);
    await context.services.enableAndStart();
  } else {
    child.unref();
  }
  context.output.report(message.report);
  return EXIT.ok;
}

async function spawnAgent<R extends Ready>(
  context: Context,
  plan: StartPlan<R>,
  { timeoutMs, logFile }: { readonly timeoutMs: number; readonly logFile: string },
): Promise<ChildProcess> {
  await mkdir(context.directories.runDir, { recursive: true, mode: 0o700 });
  await using log = await open(logFile, 'a', 0o600);
  const script = process.argv[1];
  if (script === undefined) throw new TypeError('this process has no script to start again');
  const stdin = plan.secret === null ? 'ignore' : 'pipe';
  const child = spawn(process.execPath, [...NODE_FLAGS, script, ...agentWords(context, plan)], {
    detached: true,
    stdio: [stdin, log.fd, log.fd, 'ipc'],
    env: agentEnvironment(context, timeoutMs),
  });
  child.stdin?.on('error', () => undefined); // it ended before it read its token: that end is what gets reported
  child.stdin?.end(plan.secret?.text);
  return child;
}

function agentWords<R extends Ready>(context: Context, plan: StartPlan<R>): string[] {
  const words = context.argv.filter((word) => word !== '--detach');
  return words.map((word) => (word === plan.secret?.word ? '-' : word));
}

function agentEnvironment(context: Context, timeoutMs: number): NodeJS.ProcessEnv {
  const { TSFLANNEL_DETACH: _, ...environment } = context.terminal.environment;
  return {
    ...environment,
    ...(environment[TOKEN_VARIABLE] === undefined ? {} : { [TOKEN_VARIABLE]: '-' }),
    TSFLANNEL_TIMEOUT: `${timeoutMs}ms`,
    [DETACHED_VARIABLE]: '1',
    UV_THREADPOOL_SIZE: THREADS,
  };
}

/** The message, or the reason why there is none. What does not become ready is not left running. */
async function firstWord(child: ChildProcess, timeoutMs: number, logFile: string): Promise<DetachMessage> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const signal = deadline(timeoutMs, interrupted.signal);
  try {
    const [message]: unknown[] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(([code, killedBy]) => {
        throw endedEarly(code ?? killedBy, logFile);
      }),
    ]);
    if (!isDetachMessage(message)) throw new TypeError('the agent said something unexpected when it started');
    return message;
  } catch (error) {
    await end(child);
    if (!signal.aborted) throw error;
    throw notReady(
      interrupted.signal.aborted ? 'it was interrupted' : `${timeoutMs / 1_000} s were over`,
      logFile,
    );
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

/** SIGTERM, which an agent obeys within 5 s; one that does not is killed. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  await exit;
  clearTimeout(timer);
}

function endedEarly(how: unknown, logFile: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'agent-ended',
      EXIT.failed,
      `The agent ended before it was ready (${String(how)}).`,
      `Its log ${logFile} says why.`,
    ),
  );
}

function notReady(why: string, logFile: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'agent-not-ready',
      EXIT.timeout,
      `The agent was not ready when ${why}, and has been stopped.`,
      `Its log ${logFile} says what it waited for; give it longer with --timeout.`,
    ),
  );
}
