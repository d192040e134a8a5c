/**
 * The client's side of a connection up to the hello. A TLS 1.3 client believes itself connected before the server has
 * looked at its certificate: connected is not accepted, so nothing counts before the server's hello. Nothing is sent
 * before `trust` has seen the server's certificate. Certificates are judged by their keys and never by their dates:
 * a wrong clock must not cut a cluster apart, which is why Node's own verdict is not asked.
 */
import type { X509Certificate } from 'node:crypto';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { HANDSHAKE_TIMEOUT_MS, MAX_FRAME_BYTES } from '../limits.ts';
import { DecodeError } from '../storage/bytes.ts';
import { TransportError, type TransportErrorCode } from './errors.ts';
import {
  decodeHello,
  decodeRefusal,
  describeRefusal,
  encodeHello,
  FRAME,
  type Hello,
  type Refusal,
} from './frame.ts';
import { FrameStream } from './stream.ts';
import type { Endpoint } from './transport.ts';

export interface DialOptions<T> {
  readonly endpoint: Endpoint;
  /** With our key and certificate, or without for an anonymous session. */
  readonly secureContext: SecureContext;
  readonly localAddress?: string | undefined;
  readonly hello: Hello;
  /** Before anything is sent: is the other side who it must be? */
  readonly trust: (certificate: X509Certificate) => boolean;
  /** Takes the stream over. Throws DecodeError or TransportError when the other side's hello is not good. */
  readonly open: (stream: FrameStream, hello: Hello, certificate: X509Certificate) => T;
  /** The other side is who it must be and wants nothing of us. */
  readonly onRefusal?: (refusal: Refusal) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Rejects with a TransportError; the socket is gone then. */
export function dial<T>(options: DialOptions<T>): Promise<T> {
  const { endpoint, hello, signal } = options;
  const where = describeEndpoint(endpoint);
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(
        new TransportError('timeout', `the connection to ${where} was given up`, { cause: signal.reason }),
      );
      return;
    }
    const stream = new FrameStream(connectSocket(options), MAX_FRAME_BYTES);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (code: TransportErrorCode, why: string, cause?: unknown): void => {
      settle();
      stream.onFrame = () => undefined;
      stream.onClose = () => undefined;
      stream.destroy(null);
      reject(new TransportError(code, `${where}: ${why}`, { cause }));
    };
    const abort = (): void => fail('timeout', 'the connection was given up', signal?.reason);
    const timer = setTimeout(() => fail('unreachable', 'no answer in time'), HANDSHAKE_TIMEOUT_MS);
    signal?.addEventListener('abort', abort, { once: true });
    stream.onClose = (error) => fail('unreachable', 'the connection failed', error);
    stream.onFrame = (type, body) => {
      try {
        if (type === FRAME.refused && certificate !== undefined) {
          const refusal = decodeRefusal(body);
          fail('untrusted', describeRefusal(refusal));
          if (refusal !== null) options.onRefusal?.(refusal);
          return;
        }
        if (type !== FRAME.hello) throw new DecodeError(`frame type ${type} before the hello`);
        if (certificate === undefined) throw new DecodeError('a hello before ours');
        const opened = options.open(stream, decodeHello(body), certificate);
        settle();
        resolve(opened);
      } catch (error) {
        if (!(error instanceof DecodeError || error instanceof TransportError)) throw error;
        const isJudged = error instanceof TransportError;
        fail('untrusted', isJudged ? error.message : 'its hello is not the one expected', error);
      }
    };
    // Node hands a server's certificate out once: the second call finds none.
    let certificate: X509Certificate | undefined;
    stream.socket.once('secureConnect', () => {
      certificate = stream.socket.getPeerX509Certificate();
      if (certificate !== undefined && options.trust(certificate))
        stream.write(FRAME.hello, encodeHello(hello));
      else fail('untrusted', 'it does not hold the key that it must hold');
    });
  });
}

function connectSocket({ endpoint, secureContext, localAddress }: DialOptions<unknown>): TLSSocket {
  return connect({
    host: endpoint.host,
    port: endpoint.port,
    secureContext,
    rejectUnauthorized: false,
    ...(localAddress === undefined ? {} : { localAddress }),
  });
}

export function describeEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
