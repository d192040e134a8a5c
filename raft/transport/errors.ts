/** What can go wrong with a peer, as one error with a code. The cause is what Node said. */

/**
 * - `unreachable`: nothing was sent: no session, the address did not answer, or it is overloaded.
 * - `closed`: the session ended before the answer; the request may have been carried out.
 * - `timeout`: the caller's signal ended the wait; the request may have been carried out.
 * - `remote`: the other side failed to answer.
 * - `untrusted`: the other side is not who it must be; nothing was sent.
 */
export type TransportErrorCode = 'unreachable' | 'closed' | 'timeout' | 'remote' | 'untrusted';

export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
