/**
 * Asks the Docker engine of this host over its unix socket: a call, a connection, an answer, each bounded in time and
 * size, in the newest version of the API that both sides know. Never asks an engine of another host, and remembers
 * nothing but the version. What the engine says is checked by whoever reads it (engine.ts).
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { DecodeError, Fields, parseJsonBytes, text } from '../config/strict-json.ts';

export interface EngineSocket {
  readonly path: string;
  /** There while an engine runs. Null: not to be asked for. Systemd listens at the socket of an engine that was
   *  stopped, and would start it for whoever connects. */
  readonly pidFile: string | null;
}

/** The engine does not answer, or not as we understand it. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  /** Of HTTP, where there was an answer. */
  readonly status: number | null;

  constructor(message: string, options?: ErrorOptions & { readonly status?: number }) {
    super(message, options);
    this.status = options?.status ?? null;
  }
}

/** Disposed of, it ends. */
export interface EngineEvents extends Disposable {
  /** By the engine, too. */
  readonly ended: Promise<void>;
}

/** Of API 1.n: with 49 came the firewall backend, the newest thing that is read here. */
const API_MINOR_MAX = 49;
const CALL_TIMEOUT_MS = 10_000;
/** A thousand containers, which is what a bridge holds, are 2 MB. */
const ANSWER_BYTES_MAX: number = 8 << 20;
const VERSION: RegExp = /^[\x21-\x7e]{1,64}$/;

/** Where Docker's own clients would look, as far as that is this host: `DOCKER_HOST` may name another one. */
export function engineSocket(environment: Readonly<Record<string, string | undefined>>): EngineSocket {
  const [, path] = /^unix:\/\/(\/.+)$/.exec(environment['DOCKER_HOST'] ?? '') ?? [];
  return path === undefined
    ? { path: '/run/docker.sock', pidFile: '/run/docker.pid' }
    : { path, pidFile: null };
}

export class EngineClient {
  /** Of the engine: `20.10.24+dfsg1`. */
  readonly version: string;
  /** What is spoken, of API 1.n. */
  readonly apiMinor: number;
  readonly #socketPath: string;
  readonly #signal: AbortSignal | undefined;

  /** Asks for the version. The signal ends this and every later call. Throws EngineError. */
  static async connect(socketPath: string, signal?: AbortSignal): Promise<EngineClient> {
    const answer = await exchange(socketPath, { method: 'GET', path: '/version', signal });
    return understand('/version', () => {
      const fields = new Fields(answer);
      const theirs = fields.get('ApiVersion', apiMinor);
      const oldest = fields.has('MinAPIVersion') ? fields.get('MinAPIVersion', apiMinor) : 0;
      if (oldest > API_MINOR_MAX)
        throw new DecodeError(
          `its API begins with 1.${oldest}, which this version of tsflannel does not know`,
        );
      const version = fields.get('Version', text(VERSION));
      return new EngineClient(socketPath, version, Math.min(theirs, API_MINOR_MAX), signal);
    });
  }

  private constructor(socketPath: string, version: string, minor: number, signal: AbortSignal | undefined) {
    this.#socketPath = socketPath;
    this.#signal = signal;
    this.version = version;
    this.apiMinor = minor;
  }

  get apiVersion(): string {
    return `1.${this.apiMinor}`;
  }

  /** The document at a path. Throws EngineError. */
  async get<T>(path: string, parse: (document: unknown) => T): Promise<T> {
    const document = await this.#call('GET', path);
    return understand(path, () => parse(document));
  }

  async post(path: string, body: unknown): Promise<void> {
    await this.#call('POST', path, body);
  }

  async delete(path: string): Promise<void> {
    await this.#call('DELETE', path);
  }

  /** Calls `onEvent` at least once after each event that passes; what happened is to be read anew. Resolves when the
   *  engine has begun to tell. */
  async events(
    filter: Readonly<Record<'type' | 'event', readonly string[]>>,
    onEvent: () => void,
  ): Promise<EngineEvents> {
    const filters = encodeURIComponent(JSON.stringify(filter));
    const path = this.#versioned(`/events?filters=${filters}`);
    const response = await head(this.#socketPath, { method: 'GET', path, signal: this.#signal });
    // One that is killed ends it with an error.
    response.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => response.once('close', resolve));
    const close = (): void => void response.destroy();
    if (response.statusCode !== 200) {
      close();
      throw new EngineError(`it refuses to tell its events (${response.statusCode})`);
    }
    response.on('data', onEvent);
    return { ended, [Symbol.dispose]: close };
  }

  #call(method: string, path: string, body?: unknown): Promise<unknown> {
    return exchange(this.#socketPath, { method, path: this.#versioned(path), body, signal: this.#signal });
  }

  #versioned(path: string): string {
    return `/v${this.apiVersion}${path}`;
  }
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly signal: AbortSignal | undefined;
}

async function exchange(socketPath: string, call: Call): Promise<unknown> {
  const response = await head(socketPath, call);
  try {
    const bytes = await readBounded(response);
    const status = response.statusCode ?? 0;
    if (status >= 400) throw new EngineError(refusalText(bytes) ?? `status ${status}`, { status });
    return bytes.length === 0 ? undefined : parseJsonBytes(bytes, ANSWER_BYTES_MAX);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError(`${call.method} ${call.path}: ${messageOf(cause)}`, { cause });
  }
}

/** The head of the answer; what goes wrong after it, its body reports. */
async function head(socketPath: string, { method, path, body, signal }: Call): Promise<IncomingMessage> {
  const headers = { host: 'docker', ...(body !== undefined && { 'content-type': 'application/json' }) };
  const options: RequestOptions = { socketPath, method, path, headers, agent: false };
  const request = httpRequest(signal === undefined ? options : { ...options, signal });
  const timer = setTimeout(() => request.destroy(late()), CALL_TIMEOUT_MS);
  try {
    return await new Promise((resolve, reject) => {
      request.once('response', resolve);
      // It stays: an error that comes after the answer must not end the process.
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  } catch (cause) {
    throw new EngineError(`${method} ${path}: ${messageOf(cause)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

async function readBounded(response: IncomingMessage): Promise<Buffer> {
  const timer = setTimeout(() => response.destroy(late()), CALL_TIMEOUT_MS);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('no bytes');
      length += chunk.length;
      if (length > ANSWER_BYTES_MAX)
        throw new EngineError(`an answer of more than ${ANSWER_BYTES_MAX >> 20} MiB`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

function late(): Error {
  return new Error(`no answer within ${CALL_TIMEOUT_MS / 1000} s`);
}

/** The engine's own sentence. */
function refusalText(bytes: Uint8Array): string | undefined {
  try {
    return new Fields(parseJsonBytes(bytes, ANSWER_BYTES_MAX)).get('message', text(/^\P{Cc}{1,1024}$/u));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function understand<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new EngineError(`its answer to ${path} is not understood: ${cause.message}`, { cause });
  }
}

function apiMinor(value: unknown): number {
  const [, minor] = /^1\.(\d{1,4})$/.exec(typeof value === 'string' ? value : '') ?? [];
  if (minor === undefined) throw new DecodeError('not a version of API 1');
  return Number(minor);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
