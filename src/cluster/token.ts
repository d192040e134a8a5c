/**
 * The text of a join token: `tsf1.<id>.<CA digest>.<secret>`. The digest lets a joiner recognise the cluster before it
 * says anything; the secret is what admits it. The replicated record of a token (src/subnet/token.ts) holds a hash of
 * the secret only.
 */
import { createHash, randomBytes } from 'node:crypto';
import { formatAddress } from '../config/address.ts';
import { DEFAULT_PORT } from '../config/ports.ts';
import type { Ip } from '../net/ip.ts';

export interface JoinToken {
  readonly id: string;
  /** base64url SHA-256 of the CA certificate (DER). */
  readonly caDigest: string;
  readonly secret: string;
}

export function newTokenSecret(): { id: string; secret: string } {
  return { id: randomBytes(5).toString('hex'), secret: randomBytes(32).toString('base64url') };
}

export function formatToken(token: JoinToken): string {
  return `tsf1.${token.id}.${token.caDigest}.${token.secret}`;
}

/** What a user pastes on the host that joins. */
export function joinLine(token: string, address: Ip, port: number): string {
  return `tsflannel join ${token} ${port === DEFAULT_PORT ? address : formatAddress(address, port)}`;
}

/** Undefined for anything that is not a token. */
export function parseToken(text: string): JoinToken | undefined {
  const match = /^tsf1\.([0-9a-f]{10})\.([\w-]{43})\.([\w-]{43})$/.exec(text.trim());
  const [, id, caDigest, secret] = match ?? [];
  return id === undefined || caDigest === undefined || secret === undefined
    ? undefined
    : { id, caDigest, secret };
}

export function certificateDigest(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}
