import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Family } from '../../../src/net/ip.ts';
import { decodeReply, encodeRequest, NONCE_BYTES, shortestEcho } from '../../../src/path/echo.ts';

const nonce = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const FAMILIES: readonly Family[] = [4, 6];

/** What a raw socket would receive: the request turned into its answer, below an IP header where the kernel leaves one. */
function answerTo(family: Family, request: Buffer, options = 0): Buffer {
  const message = Buffer.from(request);
  message[0] = family === 4 ? 0 : 129;
  const header = Buffer.alloc(family === 4 ? 20 + 4 * options : 0);
  if (family === 4) header[0] = 0x45 + options;
  return Buffer.concat([header, message]);
}

describe.each(FAMILIES)('IPv%i', (family) => {
  test('an answer repeats what the request carried, at any length', () => {
    for (const length of [shortestEcho(family), 1280, 1500, 9000]) {
      const echo = { identifier: 0xabcd, sequence: 0xfffe, nonce, length };
      const request = encodeRequest(family, echo);
      expect(request.length).toBe(length - (family === 4 ? 20 : 40));
      expect(decodeReply(family, answerTo(family, request))).toEqual(echo);
    }
  });

  test('a request, an error about one, and what is too short are no answers', () => {
    const length = shortestEcho(family);
    const request = encodeRequest(family, { identifier: 1, sequence: 2, nonce, length });
    const whole = answerTo(family, request);
    for (let bytes = 0; bytes < whole.length; bytes++)
      expect(decodeReply(family, whole.subarray(0, bytes))).toBe(null);
    const header = whole.length - request.length;
    for (const [type, code] of [
      [family === 4 ? 8 : 128, 0],
      [3, 1],
      [family === 4 ? 0 : 129, 1],
    ] as const) {
      const other = Buffer.from(whole);
      other[header] = type;
      other[header + 1] = code;
      expect(decodeReply(family, other)).toBe(null);
    }
  });

  test('whatever comes, it is read or refused, and what is read has a whole nonce', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const reply = decodeReply(family, Buffer.from(bytes));
        return reply === null || reply.nonce.length === NONCE_BYTES;
      }),
    );
  });
});

test('IPv4 has its checksum, and a header with options is passed over', () => {
  const request = encodeRequest(4, { identifier: 1, sequence: 2, nonce, length: 61 });
  let sum = 0;
  for (let at = 0; at < request.length; at += 2) sum += ((request[at] ?? 0) << 8) + (request[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  expect(sum).toBe(0xffff);
  expect(decodeReply(4, answerTo(4, request, 3))).toMatchObject({ identifier: 1, sequence: 2 });
});
