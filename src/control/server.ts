/**
 * The agent's end of the local API: node:http on `agent.sock` (0600) in the run directory (0700). Owns the socket file:
 * one that a dead agent left is replaced, one that answers is a conflict. Every request is bounded in size, time and
 * number before it is read, checked before it reaches the AgentApi, and answered exactly once.
 */

import { lstat, mkdir, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { deadline } from '../deadline.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import type { AgentApi, Call } from './agent-api.ts';
import {
  DEADLINE_GRACE_MS,
  isMethodName,
  isRequest,
  MAX_REQUEST_BYTES,
  METHODS,
  type MethodName,
  PROTOCOL_VERSION,
  type Request,
  type Response,
  SOCKET_NAME,
} from './protocol.ts';

/** Of one request to arrive, and of the longest wait that a caller may ask for. */
const RECEIVE_TIMEOUT_MS = 5_000;
const WAIT_MS_MAX = 3_600_000;
/** Waiting callers keep theirs open; root could open more, by mistake. */
const CONNECTIONS_MAX = 64;

export interface ControlServer extends AsyncDisposable {
  /** Ends waiting calls and removes the socket file. Idempotent. */
  close(): Promise<void>;
}

/** Throws TsflannelError (exit 7) when another agent answers at the socket. */
export async function serveControl(runDir: string, api: AgentApi, log: Log): Promise<ControlServer> {
  const path = join(runDir, SOCKET_NAME);
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  await removeStaleSocket(path);
  const server = createServer((request, response) => void handle(api, log, request, response));
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = RECEIVE_TIMEOUT_MS;
  server.headersTimeout = RECEIVE_TIMEOUT_MS;
  await listenPrivately(server, path);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= closeServer(server));
  return { close, [Symbol.asyncDispose]: close };
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new TsflannelError(
      refuse(
        'socket-path-taken',
        EXIT.conflict,
        `${path} exists and is not a socket.`,
        'Move it away, or give another --run-dir.',
      ),
    );
  }
  if (await somebodyListens(path)) {
    throw new TsflannelError(
      refuse(
        'agent-running',
        EXIT.conflict,
        `An agent is already running here and answers at ${path}.`,
        'See it with "tsflannel status"; stop it first, or give another --run-dir and --data-dir.',
      ),
    );
  }
  await unlink(path).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

async function somebodyListens(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The socket is never open to others, not even between bind and chmod: the bind happens inside `listen`. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o177);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
    process.umask(before);
  });
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function handle(
  api: AgentApi,
  log: Log,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.on('error', () => gone.abort());
  const answer = await answerTo(api, request, gone.signal).catch((error: unknown) => failure(log, error));
  if (response.destroyed) return;
  const status = 'error' in answer ? 400 : 200;
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(answer));
}

async function answerTo(api: AgentApi, message: IncomingMessage, gone: AbortSignal): Promise<Response> {
  const request = parseJson(await readBody(message));
  if (!isRequest(request)) throw malformed('it is not a request of the local API');
  if (request.version !== PROTOCOL_VERSION || !isMethodName(request.method)) throw unknownMethod(request);
  const timeoutMs = Math.ceil(Math.min(Math.max(0, request.timeoutMs), WAIT_MS_MAX));
  const signal = deadline(timeoutMs, gone);
  const call = dispatch(api, request.method, request.params, { signal });
  const result = await settledBefore(timeoutMs + DEADLINE_GRACE_MS / 2, call, signal, request.method);
  return { version: PROTOCOL_VERSION, result };
}

async function dispatch<M extends MethodName>(
  api: AgentApi,
  method: M,
  params: unknown,
  call: Call,
): Promise<unknown> {
  const shape = METHODS[method];
  if (!shape.params(params)) throw malformed(`these are no parameters of ${method}`);
  return await api[method](params, call);
}

/** The method has the first word on what was not reached in time; one that says nothing is answered for. */
async function settledBefore<T>(
  ms: number,
  call: Promise<T>,
  signal: AbortSignal,
  method: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut(method)), ms);
  });
  try {
    return await Promise.race([call, late]);
  } catch (error) {
    if (signal.aborted && !(error instanceof TsflannelError)) throw timedOut(method);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function readBody(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // What is too long is answered like the rest, not cut off in the middle of being sent.
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the request has an encoding');
    bytes += chunk.length;
    if (bytes > MAX_REQUEST_BYTES) throw malformed(`it is longer than ${MAX_REQUEST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('it is not JSON');
  }
}

/** A refusal is passed on as it is; anything else is a fault of ours, and the log has the rest of it. */
function failure(log: Log, error: unknown): Response {
  if (error instanceof TsflannelError) return { version: PROTOCOL_VERSION, error: error.refusal };
  log.error('control-fault', 'a request of the local API failed unexpectedly', { err: error });
  const reason = error instanceof Error ? error.message : String(error);
  return {
    version: PROTOCOL_VERSION,
    error: refuse(
      'internal',
      EXIT.failed,
      `The agent failed unexpectedly: ${reason}.`,
      'The log of the agent has the details; please report them.',
    ),
  };
}

function malformed(why: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'malformed-request',
      EXIT.failed,
      `The agent does not understand the request: ${why}.`,
      'Use the tsflannel command of the same version as the agent.',
    ),
  );
}

function unknownMethod(request: Request): TsflannelError {
  return new TsflannelError(
    refuse(
      'protocol-mismatch',
      EXIT.failed,
      `The running agent does not know "${request.method.slice(0, 64)}" of version ${request.version} of the local API.`,
      'Restart the agent, so that it is of the same version as this command.',
    ),
  );
}

function timedOut(method: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'timed-out',
      EXIT.timeout,
      `The agent did not finish "${method}" in time.`,
      'See "tsflannel status", or give it longer with --timeout.',
    ),
  );
}
