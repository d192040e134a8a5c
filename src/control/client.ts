/**
 * The command line's end of the local API: one call, one connection, one answer. Whatever goes wrong is a
 * TsflannelError with the exit code of the contract: nobody listens is 5, no answer in time is 8, a refusal of the agent
 * is passed on as it is.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { isRecord } from './guard.ts';
import {
  type Answer,
  DEADLINE_GRACE_MS,
  isRefusal,
  MAX_ANSWER_BYTES,
  METHODS,
  type MethodName,
  type Params,
  PROTOCOL_VERSION,
  type Request,
  SOCKET_NAME,
} from './protocol.ts';

export interface CallOptions {
  /** Whole milliseconds. */
  readonly timeoutMs: number;
}

export async function call<M extends MethodName>(
  runDir: string,
  method: M,
  params: Params<M>,
  options: CallOptions,
): Promise<Answer<M>> {
  const socketPath = join(runDir, SOCKET_NAME);
  const request: Request = { version: PROTOCOL_VERSION, method, params, timeoutMs: options.timeoutMs };
  const signal = AbortSignal.timeout(options.timeoutMs + DEADLINE_GRACE_MS);
  const text = await exchange(socketPath, JSON.stringify(request), signal).catch((error: unknown) => {
    throw signal.aborted ? noAnswer(socketPath, options.timeoutMs) : unreachable(socketPath, error);
  });
  return readAnswer(socketPath, text, METHODS[method].answer);
}

function readAnswer<A>(socketPath: string, text: string, isAnswer: (value: unknown) => value is A): A {
  const response = parseJson(text);
  if (isRecord(response)) {
    const { error, result } = response;
    if (isRefusal(error)) throw new TsflannelError(error);
    if (isAnswer(result)) return result;
  }
  throw new TsflannelError(
    refuse(
      'protocol-mismatch',
      EXIT.failed,
      `What listens at ${socketPath} answers in words this command does not know.`,
      'Restart the agent, so that it is of the same version as this command.',
    ),
  );
}

async function exchange(socketPath: string, body: string, signal: AbortSignal): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const request = httpRequest(
      { socketPath, method: 'POST', path: '/', headers, signal, agent: false },
      resolve,
    );
    request.once('error', reject);
    request.end(body);
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the answer has an encoding');
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new RangeError(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(socketPath: string, error: unknown): TsflannelError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ECONNREFUSED':
      return new TsflannelError(
        refuse(
          'agent-not-running',
          EXIT.noAgent,
          `No agent is running on this host: nobody listens at ${socketPath}.`,
          'Start it with "systemctl start tsflannel" or "tsflannel agent"; a new host needs "tsflannel init" or "tsflannel join" first.',
        ),
        { cause: error },
      );
    case 'EACCES':
    case 'EPERM':
      return new TsflannelError(
        refuse(
          'permission-denied',
          EXIT.failed,
          `${socketPath} is open to root only.`,
          'Run the command as root, such as with sudo.',
        ),
        { cause: error },
      );
    default:
      return new TsflannelError(
        refuse(
          'agent-gone',
          EXIT.noAgent,
          `The agent at ${socketPath} went away before it answered${error instanceof Error ? ` (${error.message})` : ''}.`,
          'Look at its log, then run the command again.',
        ),
        { cause: error },
      );
  }
}

function noAnswer(socketPath: string, timeoutMs: number): TsflannelError {
  return new TsflannelError(
    refuse(
      'agent-silent',
      EXIT.timeout,
      `The agent at ${socketPath} did not answer within ${timeoutMs / 1_000} s.`,
      'Give it longer with --timeout, or look at its log.',
    ),
  );
}
