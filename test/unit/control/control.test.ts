import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentApi } from '../../../src/control/agent-api.ts';
import { call } from '../../../src/control/client.ts';
import { METHODS, type MethodName } from '../../../src/control/protocol.ts';
import { type ControlServer, serveControl } from '../../../src/control/server.ts';
import { type Refusal, TsflannelError } from '../../../src/errors.ts';
import { aborted, fakeAgent, noQuorum, recordingLog } from './fake-agent.ts';

const timeoutMs = 30_000;
let directory: string;
let runDir: string;
let socketPath: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cl-control-'));
  runDir = join(directory, 'run');
  socketPath = join(runDir, 'agent.sock');
});
afterEach(() => rmSync(directory, { recursive: true }));

async function serve(overrides: Partial<AgentApi> = {}): Promise<ControlServer> {
  return await serveControl(runDir, fakeAgent(overrides), recordingLog().log);
}

async function refusalOf(promise: Promise<unknown>): Promise<Refusal> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof TsflannelError) return error.refusal;
  throw new Error('it was not refused', { cause: error });
}

/** What any program may send, past the client. */
async function post(body: string): Promise<{ readonly status: number; readonly answer: unknown }> {
  const request = httpRequest({ socketPath, method: 'POST', path: '/', agent: false });
  const response = once(request, 'response');
  request.on('error', () => undefined); // the rest of what is too long finds nobody
  request.end(body);
  const [message]: IncomingMessage[] = await response;
  if (message === undefined) throw new Error('no response');
  return { status: message.statusCode ?? 0, answer: JSON.parse(await text(message)) };
}

describe('calls', () => {
  test('parameters arrive, answers come back', async () => {
    await using _ = await serve();
    expect(await call(runDir, 'tokenRevoke', { id: 'x1' }, { timeoutMs })).toEqual({ id: 'x1' });
    const { data } = await call(runDir, 'members', {}, { timeoutMs });
    expect(data.map((member) => member.name)).toEqual(['host-a', 'host-b']);
  });

  test('every method answers in its own shape', async () => {
    await using _ = await serve();
    const params: { readonly [M in MethodName]: object } = {
      version: {},
      status: {},
      wait: { target: 'lease' },
      members: {},
      leases: {},
      routes: {},
      configGet: {},
      tokenCreate: { role: 'voter', ttlMs: 1, uses: 2 },
      tokenList: {},
      tokenRevoke: { id: 'x' },
      snapshotSave: {},
      memberRole: { node: 'b', role: 'voter' },
      memberRemove: { node: 'b', yes: true },
      transferLeader: { node: null },
      leave: { yes: false },
      shutdown: {},
    };
    for (const [method, shape] of Object.entries(METHODS)) {
      const given = Object.entries(params).find(([name]) => name === method)?.[1];
      const { status, answer } = await post(
        JSON.stringify({ version: 1, method, params: given, timeoutMs: 1_000 }),
      );
      expect([method, status]).toEqual([method, 200]);
      expect(answer).toHaveProperty('result');
      const { result } = Object(answer);
      expect([method, shape.answer(result)]).toEqual([method, true]);
    }
  });

  test('an answer may know more than its reader', async () => {
    const members: AgentApi['members'] = async () => Object({ data: [], staleMs: 0, added: { later: true } });
    await using _ = await serve({ members });
    expect(await call(runDir, 'members', {}, { timeoutMs })).toMatchObject({ data: [], staleMs: 0 });
  });

  test('a refusal of the agent reaches the caller as it is', async () => {
    const tokenCreate = async (): Promise<never> => {
      throw noQuorum;
    };
    await using _ = await serve({ tokenCreate });
    const params = { role: 'learner', ttlMs: 1_000, uses: null } as const;
    expect(await refusalOf(call(runDir, 'tokenCreate', params, { timeoutMs }))).toEqual(noQuorum.refusal);
  });

  test('a fault of the agent is exit 1, and its log has the details', async () => {
    const { log, events } = recordingLog();
    const fault = new RangeError('off by one');
    const status = async (): Promise<never> => {
      throw fault;
    };
    await using _ = await serveControl(runDir, fakeAgent({ status }), log);
    const refusal = await refusalOf(call(runDir, 'status', {}, { timeoutMs }));
    expect(refusal).toMatchObject({ code: 'internal', exitCode: 1 });
    expect(refusal.text).toContain('off by one');
    expect(events).toEqual([{ event: 'control-fault', fields: { err: fault } }]);
  });

  test('an answer of another form is refused, not believed', async () => {
    const status: AgentApi['status'] = async () => Object({ health: 'splendid' });
    await using _ = await serve({ status });
    expect(await refusalOf(call(runDir, 'status', {}, { timeoutMs }))).toMatchObject({
      code: 'protocol-mismatch',
      exitCode: 1,
    });
  });
});

describe('time', () => {
  test('a method that waits ends with its own refusal when time is over', async () => {
    const wait: AgentApi['wait'] = async (_, { signal }) => {
      await aborted(signal);
      throw noQuorum;
    };
    await using _ = await serve({ wait });
    const refusal = await refusalOf(call(runDir, 'wait', { target: 'quorum' }, { timeoutMs: 50 }));
    expect(refusal).toEqual(noQuorum.refusal);
  });

  test('one that only throws what aborted it is exit 8', async () => {
    const wait: AgentApi['wait'] = async (_, { signal }) => {
      await aborted(signal);
      throw signal.reason;
    };
    await using _ = await serve({ wait });
    const refusal = await refusalOf(call(runDir, 'wait', { target: 'direct' }, { timeoutMs: 50 }));
    expect(refusal).toMatchObject({ code: 'timed-out', exitCode: 8 });
  });

  test('one that says nothing is answered for: exit 8', async () => {
    await using _ = await serve({ status: () => new Promise(() => undefined) });
    const refusal = await refusalOf(call(runDir, 'status', {}, { timeoutMs: 50 }));
    expect(refusal).toMatchObject({ code: 'timed-out', exitCode: 8 });
  });

  test('an agent that does not even answer is exit 8', async () => {
    await using _ = await serve();
    const silent = createServer();
    const path = join(directory, 'agent.sock');
    silent.listen(path);
    await once(silent, 'listening');
    const sockets = new Set<{ destroy(): void }>();
    silent.on('connection', (socket) => sockets.add(socket));
    const refusal = await refusalOf(call(directory, 'status', {}, { timeoutMs: 50 }));
    expect(refusal).toMatchObject({ code: 'agent-silent', exitCode: 8 });
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  test('a caller that is gone ends what it waited for', async () => {
    let gone: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => {
      gone = resolve;
    });
    let begun: (() => void) | undefined;
    const waiting = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const wait: AgentApi['wait'] = async (_, { signal }) => {
      begun?.();
      await aborted(signal);
      gone?.();
      throw noQuorum;
    };
    await using _ = await serve({ wait });
    const request = httpRequest({ socketPath, method: 'POST', path: '/', agent: false });
    request.on('error', () => undefined);
    request.end(JSON.stringify({ version: 1, method: 'wait', params: { target: 'lease' }, timeoutMs }));
    await waiting;
    request.destroy();
    await ended;
  });
});

test.each([-1, 0.5, 1e300])('a caller that asks for %d ms gets an answer', async (ms) => {
  await using _ = await serve();
  const request = { version: 1, method: 'version', params: {}, timeoutMs: ms };
  expect((await post(JSON.stringify(request))).status).toBe(200);
});

describe('nobody listens: exit 5', () => {
  test('no socket', async () => {
    const refusal = await refusalOf(call(runDir, 'status', {}, { timeoutMs }));
    expect(refusal).toMatchObject({ code: 'agent-not-running', exitCode: 5 });
    expect(refusal.text).toContain(socketPath);
  });

  test('a closed agent removes its socket', async () => {
    const server = await serve();
    await server.close();
    await server.close();
    expect(() => statSync(socketPath)).toThrow('ENOENT');
    expect((await refusalOf(call(runDir, 'status', {}, { timeoutMs }))).exitCode).toBe(5);
  });

  test('an agent that stops while it is asked', async () => {
    const server = await serve({
      status: async () => {
        void server.close();
        return await new Promise<never>(() => undefined);
      },
    });
    expect(await refusalOf(call(runDir, 'status', {}, { timeoutMs }))).toMatchObject({
      code: 'agent-gone',
      exitCode: 5,
    });
  });
});

describe('the socket', () => {
  test('is root-only from the start, in a directory that is too', async () => {
    await using _ = await serve();
    expect(statSync(runDir).mode & 0o777).toBe(0o700);
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  });

  test('of an agent that was killed is replaced', async () => {
    await using first = await serve();
    // Closing would unlink it; a killed agent leaves it behind, bound by nobody.
    renameSync(socketPath, `${socketPath}.left`);
    await first.close();
    renameSync(`${socketPath}.left`, socketPath);
    expect((await refusalOf(call(runDir, 'status', {}, { timeoutMs }))).exitCode).toBe(5);
    await using _ = await serve();
    expect((await call(runDir, 'status', {}, { timeoutMs })).health).toBe('healthy');
  });

  test('of a live agent is a conflict, and that agent is not disturbed', async () => {
    await using _ = await serve();
    expect(await refusalOf(serve())).toMatchObject({ code: 'agent-running', exitCode: 7 });
    expect((await call(runDir, 'status', {}, { timeoutMs })).health).toBe('healthy');
  });

  test('never takes the place of another file', async () => {
    await using first = await serve();
    await first.close();
    writeFileSync(socketPath, 'mine');
    expect(await refusalOf(serve())).toMatchObject({ code: 'socket-path-taken', exitCode: 7 });
    expect(statSync(socketPath).size).toBe(4);
  });
});

describe('what is no request is refused, and the agent goes on', () => {
  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['no method', JSON.stringify({ version: 1, params: {}, timeoutMs: 1 })],
    [
      'bad parameters',
      JSON.stringify({ version: 1, method: 'tokenRevoke', params: { id: 7 }, timeoutMs: 1 }),
    ],
    ['too long', `"${'x'.repeat((1 << 20) + 1)}"`],
  ])('%s', async (_, body) => {
    await using _server = await serve();
    const { status, answer } = await post(body);
    expect(status).toBe(400);
    expect(answer).toMatchObject({ error: { code: 'malformed-request', exitCode: 1 } });
    expect((await call(runDir, 'status', {}, { timeoutMs })).health).toBe('healthy');
  });

  test.each([
    ['another version', { version: 2, method: 'status', params: {}, timeoutMs: 1 }],
    ['a method that is not there', { version: 1, method: 'toString', params: {}, timeoutMs: 1 }],
  ])('%s: restart the agent', async (_, body) => {
    await using _server = await serve();
    const { answer } = await post(JSON.stringify(body));
    expect(answer).toMatchObject({ error: { code: 'protocol-mismatch', exitCode: 1 } });
  });
});
