/** The text of a join token: exactly what was made is read back, anything else is nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { certificateDigest, formatToken, newTokenSecret, parseToken } from '../../../src/cluster/token.ts';

describe('join token', () => {
  it('is read back as it was made', () => {
    const token = { ...newTokenSecret(), caDigest: certificateDigest(Buffer.from('a certificate')) };
    expect(parseToken(formatToken(token))).toEqual(token);
    expect(parseToken(` ${formatToken(token)}\n`)).toEqual(token);
  });

  it('is nothing when a part is missing, short or of another version', () => {
    const text = formatToken({ ...newTokenSecret(), caDigest: certificateDigest(Buffer.from('a')) });
    expect(parseToken(text.slice(0, -1))).toBeUndefined();
    expect(parseToken(text.replace('tsf1', 'tsf2'))).toBeUndefined();
    expect(parseToken(text.split('.').slice(0, 3).join('.'))).toBeUndefined();
  });

  it('never fails on what a user pastes', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseToken(text)).toBeUndefined();
      }),
    );
  });
});
