/**
 * A token record: what lets a host join. The cluster keeps only the SHA-256 of the secret; expiry is in cluster time.
 * Plain data, replicated through the log, with the one check that the leader makes before it proposes a join and the
 * state machine makes again when the join is applied.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { TOKEN_TTL_MS_MAX, TOKEN_USES_MAX } from '../config/limits.ts';
import { boolean, integer, nullable, oneOf, type Parser, record, text } from '../config/strict-json.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { addTime } from './cluster-time.ts';
import type { ClusterTime } from './lease.ts';
import { clusterTime } from './lease-codec.ts';

export type TokenRole = 'voter' | 'learner';

/** What its maker decides. */
export interface TokenGrant {
  readonly id: string;
  /** SHA-256 of the secret, 64 hex digits. */
  readonly secretHash: string;
  /** The most a host that joins with it may ask for. */
  readonly role: TokenRole;
  /** From the moment the grant is in the log. */
  readonly ttlMs: number;
  /** Null is without limit. */
  readonly usesMax: number | null;
}

export interface Token {
  readonly id: string;
  readonly secretHash: string;
  readonly role: TokenRole;
  readonly createdAt: ClusterTime;
  readonly expiresAt: ClusterTime;
  readonly usesMax: number | null;
  readonly uses: number;
  readonly revoked: boolean;
}

export function tokenOf({ id, secretHash, role, ttlMs, usesMax }: TokenGrant, now: ClusterTime): Token {
  const expiresAt = addTime(now, ttlMs);
  return { id, secretHash, role, createdAt: now, expiresAt, usesMax, uses: 0, revoked: false };
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

export function secretMatches(token: Token, secret: string): boolean {
  return timingSafeEqual(Buffer.from(token.secretHash, 'hex'), Buffer.from(hashSecret(secret), 'hex'));
}

export type TokenCheck =
  | { readonly ok: true; readonly token: Token }
  | { readonly ok: false; readonly refusal: Refusal };

/** Whether this token admits a host at `now`. The secret is another matter: only the leader ever sees it. */
export function checkToken(token: Token | undefined, now: ClusterTime): TokenCheck {
  if (token === undefined) return deny('token-unknown', 'This cluster does not know the token.');
  if (token.revoked) return deny('token-revoked', `Token ${token.id} was revoked.`);
  if (now >= token.expiresAt) return deny('token-expired', `Token ${token.id} has expired.`);
  if (token.usesMax !== null && token.uses >= token.usesMax)
    return deny(
      'token-used-up',
      `Token ${token.id} has been used as often as it allows, ${token.uses} times.`,
    );
  return { ok: true, token };
}

function deny(code: string, sentence: string): TokenCheck {
  const fix = 'Make a new token with "tsflannel token create" on a voter.';
  return { ok: false, refusal: refuse(code, EXIT.refused, sentence, fix) };
}

export const tokenId: Parser<string> = text(/^[A-Za-z0-9_-]{1,32}$/);
const secretHash = text(/^[0-9a-f]{64}$/);
const role = oneOf('voter', 'learner');
const usesMax = nullable(integer(1, TOKEN_USES_MAX));

export const tokenGrant: Parser<TokenGrant> = record((fields) => ({
  id: fields.get('id', tokenId),
  secretHash: fields.get('secretHash', secretHash),
  role: fields.get('role', role),
  ttlMs: fields.get('ttlMs', integer(1, TOKEN_TTL_MS_MAX)),
  usesMax: fields.get('usesMax', usesMax),
}));

export const token: Parser<Token> = record((fields) => ({
  id: fields.get('id', tokenId),
  secretHash: fields.get('secretHash', secretHash),
  role: fields.get('role', role),
  createdAt: fields.get('createdAt', clusterTime),
  expiresAt: fields.get('expiresAt', clusterTime),
  usesMax: fields.get('usesMax', usesMax),
  uses: fields.get('uses', integer(0, Number.MAX_SAFE_INTEGER)),
  revoked: fields.get('revoked', boolean),
}));
