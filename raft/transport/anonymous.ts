/**
 * A session of somebody who is no replica: a joiner without a certificate, or anybody who asks a member something
 * before it is one. The member is known by its CA; what the caller is, the requests themselves must show.
 */
import type { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { dial } from './dial.ts';
import { CONTEXT_HASH_BYTES } from './frame.ts';
import { Session } from './session.ts';
import type { Endpoint } from './transport.ts';
import { NO_POSITION } from './witness.ts';

export interface AnonymousOptions {
  /**
   * Decides before anything is sent. `leaf` is the key that the connection was made with; `ca` is the certificate
   * that the other side presents as its issuer and whose signature on `leaf` is right, null when there is none.
   */
  readonly verify: (leaf: X509Certificate, ca: X509Certificate | null) => boolean;
  readonly signal?: AbortSignal;
  /** The address to speak from. */
  readonly localAddress?: string;
}

export interface AnonymousSession extends Disposable {
  /** Rejects with a TransportError. */
  request(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>;
  /** RFC 8446 section 7.5: the same value at the member, as its Caller. */
  exportKeyingMaterial(label: string, length: number): Buffer;
  /** Idempotent; requests under way fail. */
  close(): void;
}

/** Rejects with a TransportError: `unreachable`, `timeout`, or `untrusted` when `verify` said no. */
export async function connectAnonymous(
  endpoint: Endpoint,
  options: AnonymousOptions,
): Promise<AnonymousSession> {
  const session = await dial({
    endpoint,
    secureContext: createSecureContext({ minVersion: 'TLSv1.3' }),
    localAddress: options.localAddress,
    hello: { replica: null, contextHash: new Uint8Array(CONTEXT_HASH_BYTES), position: NO_POSITION },
    trust: (leaf) => options.verify(leaf, issuerOf(leaf)),
    open: (stream) =>
      new Session(stream, {
        replica: null,
        certificate: null,
        dialled: true,
        onMessage: () => undefined,
        writeSequence: () => 0,
        onSeen: () => undefined,
        onRequest: () => Promise.reject(new Error('a joiner answers no requests')),
      }),
    signal: options.signal,
  });
  const close = (): void => session.destroy(null);
  return {
    request: (payload, { signal } = {}) => session.request(payload, signal),
    exportKeyingMaterial: (label, length) => session.exportKeyingMaterial(label, length),
    close,
    [Symbol.dispose]: close,
  };
}

function issuerOf(leaf: X509Certificate): X509Certificate | null {
  const issuer = leaf.issuerCertificate;
  // OpenSSL chains by names only: a stranger may present the real CA certificate beside a leaf of its own making.
  const isIssued = issuer?.ca === true && leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
  return isIssued ? issuer : null;
}
