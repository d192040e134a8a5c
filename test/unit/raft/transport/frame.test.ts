import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { DecodeError } from '../../../../raft/storage/bytes.ts';
import {
  CONTEXT_HASH_BYTES,
  decodeHello,
  decodeRefusal,
  encodeFrameHeader,
  encodeHello,
  encodeRefusal,
  FRAME,
  FrameReader,
  type Refusal,
} from '../../../../raft/transport/frame.ts';

const types = Object.values(FRAME);

describe('frame reader', () => {
  it('finds the same frames however the bytes arrive', () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 200 })), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (sent, sizes) => {
        let rest = Buffer.concat(
          sent.flatMap(([type, body]) => [encodeFrameHeader(type, body.length), Buffer.from(body)]),
        );
        const reader = new FrameReader(1_000);
        const found: [number, Uint8Array][] = [];
        for (let i = 0; rest.length > 0; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          reader.push(rest.subarray(0, size));
          rest = rest.subarray(size);
          for (let frame = reader.next(); frame !== null; frame = reader.next())
            found.push([frame.type, Uint8Array.from(frame.body)]);
        }
        expect(found).toEqual(sent);
      }),
      { numRuns: 500 },
    );
  });

  it('takes the largest frame and refuses a larger one before its body arrives', () => {
    const reader = new FrameReader(101);
    reader.push(Buffer.concat([encodeFrameHeader(FRAME.request, 100), Buffer.alloc(100)]));
    expect(reader.next()?.body.length).toBe(100);
    reader.push(Buffer.from(encodeFrameHeader(FRAME.request, 101)));
    expect(() => reader.next()).toThrow(DecodeError);
  });

  it('refuses a frame without a type', () => {
    const reader = new FrameReader(100);
    reader.push(Buffer.alloc(4));
    expect(() => reader.next()).toThrow(DecodeError);
  });
});

describe('hello', () => {
  const contextHash = Uint8Array.from({ length: CONTEXT_HASH_BYTES }, (_, i) => i);
  const position = { writeSequence: 12, term: toTerm(3) };

  it.each([toReplicaId(9), null])('names replica %s', (replica) => {
    expect(decodeHello(encodeHello({ replica, contextHash, position }))).toEqual({
      replica,
      contextHash,
      position,
    });
  });

  it('is refused in another version or length', () => {
    const bytes = encodeHello({ replica: null, contextHash, position });
    expect(() => decodeHello(bytes.subarray(1))).toThrow(DecodeError);
    expect(() => decodeHello(Buffer.concat([bytes, bytes]))).toThrow(DecodeError);
    expect(() => decodeHello(Buffer.concat([Buffer.of(2), bytes.subarray(1)]))).toThrow(DecodeError);
  });
});

describe('the first frame of either side', () => {
  const term = fc.maxSafeNat().map(toTerm);
  const position = fc.record({ writeSequence: fc.maxSafeNat(), term });
  const hello = fc.record({
    replica: fc.option(fc.integer({ min: 1 }).map(toReplicaId)),
    contextHash: fc.uint8Array({ minLength: CONTEXT_HASH_BYTES, maxLength: CONTEXT_HASH_BYTES }),
    position,
  });
  const refusal: fc.Arbitrary<Refusal> = fc.oneof(
    fc.constantFrom({ reason: 'context' } as const, { reason: 'identity' } as const),
    position.map((seen) => ({ reason: 'rolled-back', seen }) as const),
  );
  /** Some bytes cut off, and one changed. */
  const damage = fc.record({ cut: fc.nat({ max: 60 }), at: fc.nat(), flip: fc.nat({ max: 255 }) });

  function damaged(bytes: Uint8Array, { cut, at, flip }: { cut: number; at: number; flip: number }): Buffer {
    const rest = Buffer.from(bytes.subarray(0, Math.max(0, bytes.length - cut)));
    if (rest.length > 0) rest[at % rest.length] = (rest[at % rest.length] ?? 0) ^ flip;
    return rest;
  }

  function expectRefused(decode: () => void): void {
    try {
      decode();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }

  it('says what was said, or is a DecodeError and nothing else when it is damaged', () => {
    fc.assert(
      fc.property(hello, refusal, damage, (greeting, no, how) => {
        expect(decodeHello(encodeHello(greeting))).toEqual(greeting);
        expect(decodeRefusal(encodeRefusal(no))).toEqual(no);
        expectRefused(() => {
          const bytes = damaged(encodeHello(greeting), how);
          expect(Buffer.from(encodeHello(decodeHello(bytes))).equals(bytes)).toBe(true);
        });
        expectRefused(() => {
          const bytes = damaged(encodeRefusal(no), how);
          const decoded = decodeRefusal(bytes);
          if (decoded !== null) expect(Buffer.from(encodeRefusal(decoded)).equals(bytes)).toBe(true);
        });
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('refusal', () => {
  const seen = { writeSequence: 12, term: toTerm(3) };
  const refusals: readonly Refusal[] = [
    { reason: 'context' },
    { reason: 'identity' },
    { reason: 'rolled-back', seen },
  ];

  it.each(refusals)('says $reason', (refusal) => {
    expect(decodeRefusal(encodeRefusal(refusal))).toEqual(refusal);
  });

  it('of a reason that is not known is told from one that is cut short', () => {
    expect(decodeRefusal(Buffer.of(9))).toBe(null);
    expect(() => decodeRefusal(Buffer.of())).toThrow(DecodeError);
    expect(() => decodeRefusal(encodeRefusal({ reason: 'rolled-back', seen }).subarray(0, 12))).toThrow(
      DecodeError,
    );
  });
});
