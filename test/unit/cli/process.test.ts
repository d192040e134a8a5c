import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { agentPid, isAgent } from '../../../src/cli/pid-file.ts';
import { formatToken } from '../../../src/cluster/token.ts';
import { type Compiled, compile } from './compiled.ts';
import { initReady } from './harness.ts';

const PROCESS_TIMEOUT_MS = 60_000;
const secret = 's'.repeat(43);
const token = formatToken({ id: '0123456789', caDigest: 'd'.repeat(43), secret });

let program: Compiled;
let directory: string;
let runDir: string;

beforeAll(async () => {
  program = await compile(new URL('fake-main.ts', import.meta.url));
}, PROCESS_TIMEOUT_MS);
afterAll(() => program[Symbol.dispose]());
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cl-process-'));
  runDir = join(directory, 'run');
});
afterEach(async () => {
  const left = await agentPid(runDir); // where a test failed before it ended its agent
  if (left !== null) await stop(left);
  rmSync(directory, { recursive: true });
});

function begin(words: readonly string[], environment: Readonly<Record<string, string>> = {}): ChildProcess {
  const { PATH } = process.env;
  return spawn(process.execPath, [program.script, ...words], {
    env: { PATH, TSFLANNEL_RUN_DIR: runDir, TSFLANNEL_DATA_DIR: join(directory, 'data'), ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function end(child: ChildProcess): Promise<Ended> {
  if (child.stdout === null || child.stderr === null) throw new TypeError('the child has no pipes');
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'exit'),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = begin(words, environment);
  child.stdin?.end();
  return await end(child);
}

/** Everything another user of this host can read about a process. */
function processList(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

/** Where the fake daemon writes what it was given. */
function seen(): string {
  return join(directory, 'seen.json');
}

function pidOf(file: string): number {
  return Number(readFileSync(join(runDir, file), 'utf8'));
}

/** Another process has no event for us; the time limit is the test's. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await until(async () => !(await isAgent(pid)));
}

describe('an agent in the foreground', { timeout: PROCESS_TIMEOUT_MS }, () => {
  test('a token on the command line is not in the process list', async () => {
    const child = begin(['join', token, '10.0.0.1', '--iface', 'eth0']);
    const ended = end(child);
    if (child.stdout === null) throw new TypeError('the child has no pipe');
    await once(child.stdout, 'data');
    const listed = processList(child.pid ?? 0);
    expect(listed).not.toContain(secret);
    expect(listed.replaceAll('\0', '')).toBe('tsflannel join TOKEN 10.0.0.1 --iface eth0');
    child.kill('SIGINT');
    expect((await ended).code).toBe(0);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with 0, ready or not', async (signal) => {
    for (const mode of ['ready', 'silent']) {
      const child = begin(['agent'], { FAKE_AGENT: mode });
      const ended = end(child);
      await until(() => existsSync(join(runDir, 'agent.pid')));
      child.kill(signal);
      expect((await ended).code).toBe(0);
      expect(existsSync(join(runDir, 'agent.pid'))).toBe(false);
    }
  });

  test('a start that hangs is cut short at once', async () => {
    const child = begin(['join', token, '10.0.0.1', '--json'], { FAKE_AGENT: 'hang', FAKE_SEEN: seen() });
    const ended = end(child);
    await until(() => existsSync(seen()));
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    expect([code, JSON.parse(stdout).error.code]).toEqual([1, 'interrupted']);
  });

  test('one that does not stop is left by force', async () => {
    const child = begin(['agent', '--json'], { FAKE_AGENT: 'stuck' });
    const ended = end(child);
    await until(() => existsSync(join(runDir, 'agent.pid')));
    child.kill('SIGTERM');
    const { code, stdout } = await ended;
    expect(code).toBe(1);
    expect(JSON.parse(stdout).error.code).toBe('stop-overdue');
  });

  test('a reader that has seen enough is no failure', async () => {
    const child = begin(['--help']);
    child.stdout?.destroy();
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
  });
});

describe('--detach', { timeout: PROCESS_TIMEOUT_MS }, () => {
  test('returns when the agent is ready, and leaves it running in a session of its own', async () => {
    const { code, stdout, stderr } = await run(['init', '--detach']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(initReady.joinCommand);
    const pid = pidOf('agent.pid');
    const [, , , , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    expect(Number(session)).toBe(pid);
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain('UV_THREADPOOL_SIZE=6');
    expect(readFileSync(join(runDir, 'agent.log'), 'utf8')).not.toContain('tsf1.');
    await stop(pid);
  });

  test('--json gives the same document as in the foreground', async () => {
    const { stdout } = await run(['init', '--json'], { TSFLANNEL_DETACH: 'true' });
    expect(JSON.parse(stdout)).toMatchObject({ token: initReady.token, joinCommand: initReady.joinCommand });
    await stop(pidOf('agent.pid'));
  });

  test.each([
    ['on the command line', ['join', token, '10.0.0.1', '--detach'], {}],
    ['from the environment', ['join', '10.0.0.1', '--detach'], { TSFLANNEL_TOKEN: token }],
  ])(
    'a token %s reaches the agent on no command line and in no environment',
    async (_, words, environment) => {
      const seen = join(directory, 'seen.json');
      const { code } = await run(words, { ...environment, FAKE_SEEN: seen });
      expect(code).toBe(0);
      const { token: received, argv } = JSON.parse(readFileSync(seen, 'utf8'));
      expect(received).toBe(token);
      expect(JSON.stringify(argv)).not.toContain(secret);
      const pid = pidOf('agent.pid');
      expect(processList(pid)).not.toContain(secret);
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain(secret);
      await stop(pid);
    },
  );

  test('a refusal is the exit code and the sentence', async () => {
    const { code, stdout, stderr } = await run(['join', token, '10.0.0.1', '--detach'], {
      FAKE_AGENT: 'refuse',
    });
    expect([code, stdout, stderr]).toEqual([6, '', 'tsflannel: The token has expired.\nMake another.\n']);
    expect(existsSync(join(runDir, 'agent.pid'))).toBe(false);
  });

  test('options that are wrong are refused all the same', async () => {
    const { code, stderr } = await run(['agent', '--detach', '--port', '0']);
    expect(code).toBe(2);
    expect(stderr).toContain('--port must be a number from 1 to 65535');
  });

  test('an agent that just dies is exit 1 and names its log', async () => {
    const { code, stderr } = await run(['init', '--detach'], { FAKE_AGENT: 'die' });
    expect(code).toBe(1);
    expect(stderr).toContain('The agent ended before it was ready (42).');
    expect(stderr).toContain(join(runDir, 'agent.log'));
  });

  test('interrupting it ends the agent that it started', async () => {
    const child = begin(['init', '--detach'], { FAKE_AGENT: 'silent' });
    const ended = end(child);
    await until(() => existsSync(join(runDir, 'agent.pid')));
    const pid = pidOf('agent.pid');
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect(code).toBe(8);
    expect(stderr).toContain('The agent was not ready when it was interrupted');
    expect(await isAgent(pid)).toBe(false);
  });
});
