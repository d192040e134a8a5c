/**
 * The server's side of connections up to the hello. Owns the listening socket and everybody who has not proven to be
 * anybody: at most UNPROVEN_CONNECTIONS_MAX of them, each for HANDSHAKE_TIMEOUT_MS, and one more pushes out the oldest
 * and not the newest, so that garbage delays a member's handshake but cannot lock it out.
 * Certificates are judged by `authenticate` alone; see dial.ts for why.
 */
import { createHash, timingSafeEqual, type X509Certificate } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { ReplicaId } from '../core/types.ts';
import { ANONYMOUS_FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT_MS, UNPROVEN_CONNECTIONS_MAX } from '../limits.ts';
import { DecodeError } from '../storage/bytes.ts';
import type { PeerPositions } from '../storage/storage.ts';
import { decodeHello, encodeHello, encodeRefusal, FRAME, type Hello, type Refusal } from './frame.ts';
import { FrameStream } from './stream.ts';
import { describeRollback, isBehind } from './witness.ts';

/** PEM. `cert` is the leaf followed by the CA certificate, so that a joiner can recognise the CA. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** A structured log: the event is a stable name, kebab-case. */
export type TransportLog = (event: string, fields: Readonly<Record<string, unknown>>) => void;

export interface AcceptorOptions {
  readonly hello: () => Hello;
  /** How far peers were seen until now. */
  readonly seen: () => PeerPositions;
  readonly tls: TlsIdentity;
  readonly authenticate: (certificate: X509Certificate, claimed: ReplicaId) => boolean;
  /** Takes the stream over, after our hello has left. `replica` is null for an anonymous caller. */
  readonly open: (
    stream: FrameStream,
    replica: ReplicaId | null,
    certificate: X509Certificate | null,
  ) => void;
  readonly log: TransportLog;
}

interface Unproven {
  readonly socket: Socket;
  /** As of before the TLS handshake, and so before the hello was written. */
  readonly seen: PeerPositions;
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #server: Server;
  /** Before the hello, by where they come from, oldest first. */
  readonly #unproven = new Map<string, Unproven>();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#server = createServer({
      ...options.tls,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#server.on('connection', (socket: Socket) => this.#admit(socket));
    this.#server.on('secureConnection', (socket) => this.#greet(socket));
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Rejects with the errno of the operating system. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        // Out of file descriptors, for one: the connection is lost, the server is not.
        this.#server.on('error', (error) => this.#options.log('accept-failed', { error }));
        resolve(portOf(this.#server.address()));
      });
    });
  }

  setTls(tls: TlsIdentity): void {
    this.#server.setSecureContext({ ...tls, minVersion: 'TLSv1.3' });
  }

  /** Streams that were handed on are not its business any more. */
  close(): Promise<void> {
    for (const { socket } of this.#unproven.values()) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #admit(socket: Socket): void {
    const from = addressOf(socket);
    const [oldest] = this.#unproven.values();
    if (this.#unproven.size >= UNPROVEN_CONNECTIONS_MAX) oldest?.socket.destroy();
    const unproven = { socket, seen: this.#options.seen() };
    this.#unproven.set(from, unproven);
    socket.once('close', () => this.#release(from, unproven));
  }

  #release(from: string, unproven: Unproven): void {
    if (this.#unproven.get(from) === unproven) this.#unproven.delete(from);
  }

  #greet(socket: TLSSocket): void {
    const from = addressOf(socket);
    const unproven = this.#unproven.get(from);
    if (unproven === undefined) {
      socket.destroy();
      return;
    }
    const stream = new FrameStream(socket, ANONYMOUS_FRAME_BYTES_MAX);
    const timer = setTimeout(() => stream.destroy(null), HANDSHAKE_TIMEOUT_MS);
    stream.onClose = () => clearTimeout(timer);
    stream.onFrame = (type, body) => {
      if (type !== FRAME.hello) throw new DecodeError(`frame type ${type} before the hello`);
      const hello = decodeHello(body);
      const certificate = socket.getPeerX509Certificate() ?? null;
      const refusal = this.#judge(hello, certificate, unproven.seen);
      if (refusal === null) {
        clearTimeout(timer);
        this.#release(from, unproven);
        stream.write(FRAME.hello, encodeHello(this.#options.hello()));
        this.#options.open(stream, hello.replica, certificate);
        return;
      }
      this.#options.log('session-refused', { from, claimed: hello.replica, ...explain(hello, refusal) });
      stream.write(FRAME.refused, encodeRefusal(refusal));
      stream.onFrame = () => undefined;
      stream.end();
    };
  }

  #judge(hello: Hello, certificate: X509Certificate | null, seen: PeerPositions): Refusal | null {
    const { replica } = hello;
    const own = this.#options.hello();
    if (replica === null) return null;
    if (!timingSafeEqual(hello.contextHash, own.contextHash)) return { reason: 'context' };
    if (certificate === null || replica === own.replica) return { reason: 'identity' };
    if (!this.#options.authenticate(certificate, replica)) return { reason: 'identity' };
    const before = seen.get(replica);
    return before !== undefined && isBehind(hello.position, before)
      ? { reason: 'rolled-back', seen: before }
      : null;
  }
}

function explain({ replica, position }: Hello, refusal: Refusal): Readonly<Record<string, unknown>> {
  const { reason } = refusal;
  if (reason !== 'rolled-back' || replica === null) return { reason };
  return { reason, detail: describeRollback(replica, position, refusal.seen) };
}

/** What the hello says of the cluster: enough to tell two clusters apart, and nothing about either. */
export function hashContext(context: Uint8Array): Uint8Array {
  return createHash('sha256').update('raft context\0').update(context).digest();
}

/** The same text for a TCP socket and the TLS socket above it. */
function addressOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
