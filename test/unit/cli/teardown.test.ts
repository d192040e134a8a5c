import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isService } from '../../../src/cli/service-manager.ts';
import type { AgentApi } from '../../../src/control/agent-api.ts';
import { serveControl } from '../../../src/control/server.ts';
import { EXIT, refuse, TsflannelError } from '../../../src/errors.ts';
import { fakeAgent, hostA, recordingLog } from '../control/fake-agent.ts';
import {
  type Calls,
  type CliOptions,
  type CliResult,
  cli,
  failure,
  newCalls,
  noServices,
} from './harness.ts';

let directory: string;
let runDir: string;
let calls: Calls;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cl-teardown-'));
  runDir = join(directory, 'run');
  mkdirSync(runDir);
  calls = newCalls();
});
afterEach(() => rmSync(directory, { recursive: true }));

async function run(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await cli([...words, '--run-dir', runDir, '--data-dir', join(directory, 'data')], {
    teardown: async (request) => {
      calls.teardown.push(request);
      return { removed: ['2 routes', 'device flannel.1'] };
    },
    ...options,
  });
}

/** A process that calls itself an agent and ends on SIGTERM: what is left when the socket does not answer. */
async function lonelyAgent(): Promise<{ readonly pid: number; readonly ended: Promise<unknown> }> {
  const script = "process.title = 'tsflannel agent'; setInterval(() => {}, 1000); console.log('up')";
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return { pid: child.pid ?? 0, ended };
}

describe('down', () => {
  test('without an agent: tears this host down', async () => {
    expect(await run(['down'])).toEqual({
      code: 0,
      stdout: 'removed 2 routes, device flannel.1\n',
      stderr: '',
    });
    expect(calls.teardown).toMatchObject([{ purge: false, runDir, dataDir: join(directory, 'data') }]);
    expect(JSON.parse((await run(['down', '--json'])).stdout)).toEqual({
      removed: ['2 routes', 'device flannel.1'],
    });
  });

  test('an agent that answers is told to stop first, and waited for', async () => {
    const agent = await lonelyAgent();
    const shutdown: AgentApi['shutdown'] = async () => {
      process.kill(agent.pid, 'SIGTERM');
      return {};
    };
    const version = async () => ({ version: '1.0.0', pid: agent.pid });
    await using _ = await serveControl(runDir, fakeAgent({ version, shutdown }), recordingLog().log);
    expect((await run(['down'])).code).toBe(0);
    await agent.ended;
    expect(calls.teardown).toHaveLength(1);
  });

  test('one that does not answer is found by its pid', async () => {
    const agent = await lonelyAgent();
    writeFileSync(join(runDir, 'agent.pid'), `${agent.pid}\n`);
    expect((await run(['down'])).code).toBe(0);
    await agent.ended;
  });

  test('a pid that is of somebody else by now is left alone', async () => {
    const other = spawn('sleep', ['1000']);
    await once(other, 'spawn');
    writeFileSync(join(runDir, 'agent.pid'), `${other.pid}\n`);
    expect((await run(['down'])).code).toBe(0);
    expect(other.exitCode ?? other.signalCode).toBeNull();
    other.kill();
  });

  test('--purge asks: without a terminal and without --yes it is exit 9 and nothing happens', async () => {
    const result = await run(['down', '--purge', '--json']);
    expect(result.code).toBe(9);
    expect(failure(result)).toMatchObject({ code: 'needs-yes', exitCode: 9 });
    expect(calls.teardown).toEqual([]);
  });

  test('--purge at a terminal: only yes is yes', async () => {
    expect((await run(['down', '--purge'], { isTTY: true, stdin: 'no\n' })).code).toBe(9);
    expect((await run(['down', '--purge'], { isTTY: true, stdin: '' })).code).toBe(9);
    expect(calls.teardown).toEqual([]);
    const asked = await run(['down', '--purge'], { isTTY: true, stdin: 'yes\n' });
    expect(asked.code).toBe(0);
    expect(asked.stderr).toContain(`${join(directory, 'data')} for good.\nType "yes" to go on:`);
  });

  test('--purge --yes', async () => {
    expect((await run(['down', '--purge', '--yes'])).code).toBe(0);
    expect((await run(['down', '--purge'], { environment: { TSFLANNEL_YES: 'true' } })).code).toBe(0);
    expect(calls.teardown.map((request) => request.purge)).toEqual([true, true]);
  });

  test('a teardown that is refused is its exit code', async () => {
    const teardown = async (): Promise<never> => {
      throw new TsflannelError(refuse('directory-in-use', EXIT.conflict, 'In use.', 'Stop it.'));
    };
    expect((await run(['down'], { teardown })).code).toBe(7);
  });
});

describe('leave', () => {
  test('the lease is given back, the agent ends, the host is torn down', async () => {
    const agent = await lonelyAgent();
    const order: string[] = [];
    const leave: AgentApi['leave'] = async ({ yes }) => {
      order.push(`leave yes=${yes}`);
      process.kill(agent.pid, 'SIGTERM');
      return { node: hostA, subnet: '10.5.42.0/24' };
    };
    const version = async () => ({ version: '1.0.0', pid: agent.pid });
    await using _ = await serveControl(runDir, fakeAgent({ version, leave }), recordingLog().log);
    const teardown = async () => {
      order.push('teardown');
      return { removed: [] };
    };
    const { code, stdout } = await run(['leave', '--yes'], { teardown });
    expect([code, stdout]).toEqual([0, 'host-a has left and given 10.5.42.0/24 back\n']);
    expect(order).toEqual(['leave yes=true', 'teardown']);
    await agent.ended;
  });

  test('one that is refused leaves everything as it is', async () => {
    const leave = async (): Promise<never> => {
      throw new TsflannelError(
        refuse('containers', EXIT.unsafe, 'Containers run.', 'Stop them, or give --yes.'),
      );
    };
    await using _ = await serveControl(runDir, fakeAgent({ leave }), recordingLog().log);
    expect((await run(['leave'])).code).toBe(9);
    expect(calls.teardown).toEqual([]);
  });
});

describe('the service', () => {
  const services = { ...noServices, hasUnit: async () => true };

  test('is only what runs on the default directories', async () => {
    const standard = { dataDir: '/var/lib/tsflannel', runDir: '/run/tsflannel' };
    expect(await isService(services, standard)).toBe(true);
    expect(await isService(services, { ...standard, runDir: '/run/other' })).toBe(false);
    expect(await isService(noServices, standard)).toBe(false);
  });

  test('of an agent elsewhere is not touched', async () => {
    expect((await run(['down'], { services })).code).toBe(0);
  });
});
