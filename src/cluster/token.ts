/**
 * Join tokens: `tsf1.<id>.<CA digest>.<secret>`. The digest lets a joiner recognise the cluster before it says
 * anything; the secret is what admits it. The replicated state holds the id and a hash of the secret, never the secret.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export interface Token {
  readonly id: string;
  /** base64url SHA-256 of the CA certificate (DER). */
  readonly caDigest: string;
  readonly secret: string;
}

export function newTokenSecret(): { id: string; secret: string } {
  return { id: randomBytes(5).toString('hex'), secret: randomBytes(32).toString('base64url') };
}

export function formatToken(token: Token): string {
  return `tsf1.${token.id}.${token.caDigest}.${token.secret}`;
}

/** Undefined for anything that is not a token. */
export function parseToken(text: string): Token | undefined {
  const match = /^tsf1\.([0-9a-f]{10})\.([\w-]{43})\.([\w-]{43})$/.exec(text.trim());
  const [, id, caDigest, secret] = match ?? [];
  return id === undefined || caDigest === undefined || secret === undefined
    ? undefined
    : { id, caDigest, secret };
}

/** What the replicated state keeps of a secret: hex SHA-256. The secret has 256 random bits, so it needs no salt. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function secretMatches(secret: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(hash, 'hex'));
}

export function certificateDigest(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}
