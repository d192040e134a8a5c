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
import { decodeHello, encodeHello, FRAME, type Hello, REFUSAL } from './frame.ts';
import { FrameStream } from './stream.ts';

/** PEM. `cert` is the leaf followed by the CA certificate, so that a joiner can recognise the CA. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** A structured log: the event is a stable name, kebab-case. */
export type TransportLog = (event: string, fields: Readonly<Record<string, unknown>>) => void;

export interface AcceptorOptions {
  readonly hello: Hello;
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

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #server: Server;
  /** Sockets before the hello, by where they come from, oldest first. */
  readonly #unproven = new Map<string, Socket>();

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
    for (const socket of this.#unproven.values()) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #admit(socket: Socket): void {
    const from = addressOf(socket);
    const [oldest] = this.#unproven.values();
    if (this.#unproven.size >= UNPROVEN_CONNECTIONS_MAX) oldest?.destroy();
    this.#unproven.set(from, socket);
    socket.once('close', () => this.#release(from, socket));
  }

  #release(from: string, socket: Socket | undefined): void {
    if (socket !== undefined && this.#unproven.get(from) === socket) this.#unproven.delete(from);
  }

  #greet(socket: TLSSocket): void {
    const from = addressOf(socket);
    const raw = this.#unproven.get(from);
    const stream = new FrameStream(socket, ANONYMOUS_FRAME_BYTES_MAX);
    const timer = setTimeout(() => stream.destroy(null), HANDSHAKE_TIMEOUT_MS);
    stream.onClose = () => clearTimeout(timer);
    stream.onFrame = (type, body) => {
      if (type !== FRAME.hello) throw new DecodeError(`frame type ${type} before the hello`);
      const hello = decodeHello(body);
      const certificate = socket.getPeerX509Certificate() ?? null;
      const refusal = this.#judge(hello, certificate);
      if (refusal === null) {
        clearTimeout(timer);
        this.#release(from, raw);
        stream.write(FRAME.hello, encodeHello(this.#options.hello));
        this.#options.open(stream, hello.replica, certificate);
        return;
      }
      this.#options.log('session-refused', { from, claimed: hello.replica, reason: refusal });
      stream.write(FRAME.refused, Uint8Array.of(REFUSAL[refusal]));
      stream.onFrame = () => undefined;
      stream.end();
    };
  }

  #judge(hello: Hello, certificate: X509Certificate | null): keyof typeof REFUSAL | null {
    if (hello.replica === null) return null;
    if (!timingSafeEqual(hello.contextHash, this.#options.hello.contextHash)) return 'context';
    if (certificate === null || hello.replica === this.#options.hello.replica) return 'identity';
    return this.#options.authenticate(certificate, hello.replica) ? null : 'identity';
  }
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
