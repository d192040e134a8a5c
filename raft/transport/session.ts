/**
 * A stream after the hello: Raft messages, and requests with their answers in both directions. Owns the requests that
 * are under way and fails each of them exactly once when the session ends. Every queue is bounded: towards a slow
 * reader Raft messages are dropped and requests fail; who asks too much at once gets errors; who does not even read
 * its answers is cut.
 */
import type { X509Certificate } from 'node:crypto';
import type { ReplicaId } from '../core/types.ts';
import {
  ANONYMOUS_FRAME_BYTES_MAX,
  ANONYMOUS_REQUESTS_MAX,
  MAX_FRAME_BYTES,
  MEMBER_REQUESTS_MAX,
  SESSION_BULK_BYTES_MAX,
  SESSION_PING_MS,
  SESSION_QUEUE_BYTES_MAX,
  SESSION_SILENCE_MS_MAX,
} from '../limits.ts';
import { ByteReader, ByteWriter, DecodeError } from '../storage/bytes.ts';
import { TransportError } from './errors.ts';
import { FRAME, FRAME_OVERHEAD_BYTES } from './frame.ts';
import type { FrameStream } from './stream.ts';

/** Who asks. */
export interface Caller {
  /** Null for an anonymous caller, whatever certificate it showed. */
  readonly replica: ReplicaId | null;
  readonly certificate: X509Certificate | null;
  /** Canonical: an IPv4 address stands without the prefix that maps it into IPv6. */
  readonly remoteAddress: string;
  /** RFC 8446 section 7.5, of the caller's connection. Throws TransportError when that has ended. */
  exportKeyingMaterial(label: string, length: number): Buffer;
}

export interface SessionOptions {
  /** The replica at the other end, null for an anonymous one. */
  readonly replica: ReplicaId | null;
  readonly certificate: X509Certificate | null;
  readonly dialled: boolean;
  /** One that was not sent by a replica is a DecodeError before it gets here. */
  readonly onMessage: (bytes: Uint8Array) => void;
  /** The last write that is durable here: told with each message. */
  readonly writeSequence: () => number;
  /** Where the disk of the other side is. */
  readonly onSeen: (writeSequence: number) => void;
  readonly onRequest: (caller: Caller, payload: Uint8Array) => Promise<Uint8Array>;
}

const REQUEST_ID_BYTES = 4;
const WRITE_SEQUENCE_BYTES = 8;
const RESPONSE_HEADER_BYTES: number = FRAME_OVERHEAD_BYTES + REQUEST_ID_BYTES + 1;
const OUTCOME = { ok: 0, error: 1 } as const;
/** Of the sentence that tells why a request failed. */
const ERROR_BYTES_MAX = 1_024;
/** How long a session in doubt has for a sign of life. */
const DOUBT_MS = 1_000;

interface PendingRequest {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: TransportError) => void;
}

export class Session {
  readonly replica: ReplicaId | null;
  readonly certificate: X509Certificate | null;
  readonly dialled: boolean;
  readonly openedMs: number = performance.now();
  onClose: (error: Error | null) => void = () => undefined;
  readonly #stream: FrameStream;
  readonly #options: SessionOptions;
  readonly #caller: Caller;
  readonly #pending = new Map<number, PendingRequest>();
  #nextRequestId = 0;
  /** Requests of the other side that are being answered. */
  #answering = 0;
  #lastRequestMs: number = performance.now();
  #doubtedSinceMs: number | null = null;
  /** Oldest first. */
  readonly #bulk: Uint8Array[] = [];
  #bulkBytes = 0;

  /** Takes the stream over. The hellos have been exchanged. */
  constructor(stream: FrameStream, options: SessionOptions) {
    this.replica = options.replica;
    this.certificate = options.certificate;
    this.dialled = options.dialled;
    this.#stream = stream;
    this.#options = options;
    this.#caller = {
      replica: this.replica,
      certificate: this.certificate,
      remoteAddress: canonicalAddress(stream.socket.remoteAddress ?? ''),
      exportKeyingMaterial: (label, length) => this.exportKeyingMaterial(label, length),
    };
    const trusted = this.dialled || this.replica !== null;
    stream.maxFrameBytes = trusted ? MAX_FRAME_BYTES : ANONYMOUS_FRAME_BYTES_MAX;
    stream.onFrame = (type, body) => this.#receive(type, body);
    stream.onDrain = () => this.#pumpBulk();
    stream.onClose = (error) => this.#closed(error);
  }

  get remoteAddress(): string {
    return this.#caller.remoteAddress;
  }

  get remotePort(): number {
    return this.#stream.socket.remotePort ?? 0;
  }

  get lastHeardMs(): number {
    return this.#stream.lastHeardMs;
  }

  /** Monotonic time of the last request that the other side made; null while one is being answered. */
  get idleSinceMs(): number | null {
    return this.#answering > 0 ? null : this.#lastRequestMs;
  }

  exportKeyingMaterial(label: string, length: number, context: Buffer = Buffer.alloc(0)): Buffer {
    try {
      return this.#stream.socket.exportKeyingMaterial(length, label, context);
    } catch (cause) {
      throw new TransportError('closed', `the connection to ${this.remoteAddress} has ended`, { cause });
    }
  }

  /** Drops it when the other side does not read fast enough. */
  sendMessage(bytes: Uint8Array): void {
    const fits = bytes.length + FRAME_OVERHEAD_BYTES + WRITE_SEQUENCE_BYTES <= MAX_FRAME_BYTES;
    if (fits && this.#stream.queuedBytes <= SESSION_QUEUE_BYTES_MAX) this.#writeMessage(bytes);
  }

  /** The same for a piece of something large: it waits until nothing else does, so that a heartbeat overtakes it. */
  sendBulk(bytes: Uint8Array): void {
    if (this.#bulkBytes > SESSION_BULK_BYTES_MAX) return;
    this.#bulk.push(bytes);
    this.#bulkBytes += bytes.length;
    this.#pumpBulk();
  }

  /** Rejects with a TransportError. Where the session ends first, the request may have been carried out or not. */
  request(payload: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const refusal = this.#whyNotAsk(payload, signal);
      if (refusal !== null) {
        reject(refusal);
        return;
      }
      const id = this.#takeRequestId();
      const abort = (): void => {
        this.#pending.delete(id);
        reject(this.#timeout(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const settled = (): void => {
        this.#pending.delete(id);
        signal?.removeEventListener('abort', abort);
      };
      this.#pending.set(id, {
        resolve: (answer) => {
          settled();
          resolve(answer);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      this.#stream.write(FRAME.request, encodeRequestId(id), payload);
    });
  }

  /** Cuts a silent session, asks a quiet one for a sign of life. */
  tick(nowMs: number): void {
    const silentMs = nowMs - this.lastHeardMs;
    if (this.#doubtedSinceMs !== null && this.lastHeardMs > this.#doubtedSinceMs) this.#doubtedSinceMs = null;
    const isDoubted = this.#doubtedSinceMs !== null && nowMs - this.#doubtedSinceMs > DOUBT_MS;
    if (isDoubted || silentMs > SESSION_SILENCE_MS_MAX)
      this.destroy(new Error(`nothing was heard for ${Math.round(silentMs)} ms`));
    else if (silentMs > SESSION_PING_MS) this.#ping();
  }

  /** Something suggests that this session is dead: it has a second to show the contrary. */
  doubt(): void {
    this.#doubtedSinceMs ??= performance.now();
    this.#ping();
  }

  destroy(error: Error | null): void {
    this.#stream.destroy(error);
  }

  #pumpBulk(): void {
    while (this.#stream.queuedBytes === 0) {
      const bytes = this.#bulk.shift();
      if (bytes === undefined) return;
      this.#bulkBytes -= bytes.length;
      this.#writeMessage(bytes);
    }
  }

  #writeMessage(bytes: Uint8Array): void {
    const to = new ByteWriter(WRITE_SEQUENCE_BYTES);
    to.u64(this.#options.writeSequence());
    this.#stream.write(FRAME.message, to.finish(), bytes);
  }

  #receive(type: number, body: Buffer): void {
    switch (type) {
      case FRAME.message:
        this.#receiveMessage(body);
        return;
      case FRAME.request:
        this.#answer(body);
        return;
      case FRAME.response:
        this.#settle(body);
        return;
      case FRAME.ping:
        this.#reply(FRAME.pong);
        return;
      case FRAME.pong:
        return;
      default:
        throw new DecodeError(`frame type ${type} is not known or not allowed here`);
    }
  }

  #receiveMessage(body: Buffer): void {
    if (this.replica === null) throw new DecodeError('a Raft message from who is no replica');
    const from = new ByteReader(body);
    this.#options.onSeen(from.u64());
    this.#options.onMessage(from.raw(from.remaining));
  }

  #answer(body: Buffer): void {
    const id = new ByteReader(body).u32();
    const payload = body.subarray(REQUEST_ID_BYTES);
    const limit = this.replica === null ? ANONYMOUS_REQUESTS_MAX : MEMBER_REQUESTS_MAX;
    if (this.#answering >= limit) {
      this.#respond(id, OUTCOME.error, Buffer.from('too many requests at once'));
      return;
    }
    this.#answering += 1;
    this.#options
      .onRequest(this.#caller, payload)
      .then(
        (answer) => {
          const fits = answer.length + RESPONSE_HEADER_BYTES <= MAX_FRAME_BYTES;
          if (fits) this.#respond(id, OUTCOME.ok, answer);
          else this.#respond(id, OUTCOME.error, Buffer.from('the answer is too large'));
        },
        (error: unknown) => this.#respond(id, OUTCOME.error, Buffer.from(this.#describe(error))),
      )
      .finally(() => {
        this.#answering -= 1;
        this.#lastRequestMs = performance.now();
      });
  }

  /** Strangers learn nothing about what went wrong inside. */
  #describe(error: unknown): string {
    if (this.replica === null || !(error instanceof Error)) return 'the request failed';
    return error.message.slice(0, ERROR_BYTES_MAX / 4);
  }

  #respond(id: number, outcome: number, payload: Uint8Array): void {
    this.#reply(FRAME.response, encodeRequestId(id), Uint8Array.of(outcome), payload);
  }

  /** Who makes us answer and does not read would fill our memory. */
  #reply(type: typeof FRAME.pong | typeof FRAME.response, ...parts: readonly Uint8Array[]): void {
    if (this.#stream.queuedBytes > SESSION_QUEUE_BYTES_MAX)
      this.destroy(new Error('the other side does not read its answers'));
    else this.#stream.write(type, ...parts);
  }

  #settle(body: Buffer): void {
    const from = new ByteReader(body);
    const id = from.u32();
    const outcome = from.u8();
    const payload = from.raw(from.remaining);
    const pending = this.#pending.get(id);
    if (outcome === OUTCOME.ok) pending?.resolve(payload);
    else {
      const reason = Buffer.from(payload.subarray(0, ERROR_BYTES_MAX)).toString();
      pending?.reject(new TransportError('remote', `${this.remoteAddress} could not answer: ${reason}`));
    }
  }

  #closed(error: Error | null): void {
    const options = error === null ? {} : { cause: error };
    const message = `the connection to ${this.remoteAddress} ended before the answer came`;
    for (const pending of [...this.#pending.values()])
      pending.reject(new TransportError('closed', message, options));
    this.onClose(error);
  }

  #whyNotAsk(payload: Uint8Array, signal: AbortSignal | undefined): TransportError | null {
    if (signal?.aborted === true) return this.#timeout(signal);
    const limit = this.dialled && this.replica === null ? ANONYMOUS_FRAME_BYTES_MAX : MAX_FRAME_BYTES;
    if (payload.length + FRAME_OVERHEAD_BYTES + REQUEST_ID_BYTES > limit)
      return new TransportError('unreachable', `a request of ${payload.length} bytes is too large`);
    if (this.#stream.isClosed)
      return new TransportError('unreachable', `the connection to ${this.remoteAddress} has ended`);
    const isFull =
      this.#pending.size >= MEMBER_REQUESTS_MAX || this.#stream.queuedBytes > SESSION_QUEUE_BYTES_MAX;
    return isFull
      ? new TransportError('unreachable', `too much waits for ${this.remoteAddress} already`)
      : null;
  }

  #timeout(signal: AbortSignal | undefined): TransportError {
    const cause: unknown = signal?.reason;
    return new TransportError('timeout', `the wait for an answer of ${this.remoteAddress} was ended`, {
      cause,
    });
  }

  /** Wraps around; an id is free again long before. */
  #takeRequestId(): number {
    this.#nextRequestId = (this.#nextRequestId + 1) % 2 ** 32;
    return this.#nextRequestId;
  }

  #ping(): void {
    this.#stream.write(FRAME.ping);
  }
}

function encodeRequestId(id: number): Uint8Array {
  const to = new ByteWriter(REQUEST_ID_BYTES);
  to.u32(id);
  return to.finish();
}

/** How a dual-stack socket shows an IPv4 peer: `::ffff:10.0.0.1`. */
export function canonicalAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
