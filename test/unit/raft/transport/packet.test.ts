import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../../../raft/storage/bytes.ts';
import { MAX_SEALED_BYTES } from '../../../../raft/transport/keys.ts';
import {
  decodePacket,
  encodePacket,
  MAX_PACKED_BYTES,
  takePacket,
} from '../../../../raft/transport/packet.ts';

const messages = fc.array(fc.uint8Array({ maxLength: MAX_PACKED_BYTES }), { maxLength: 12 });
const packet = fc.record({
  asks: fc.boolean(),
  acknowledged: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  writeSequence: fc.maxSafeNat(),
  messages: fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 5 }),
});

describe('packet', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(packet, (value) => {
        expect(decodePacket(encodePacket(value))).toEqual(value);
      }),
    );
  });

  it('answers damaged bytes with a DecodeError or with what those bytes say', () => {
    fc.assert(
      fc.property(packet, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(), (value, at, flip, cut) => {
        const whole = Buffer.from(encodePacket(value));
        whole[at % whole.length] = (whole[at % whole.length] ?? 0) ^ flip;
        for (const bytes of [whole, whole.subarray(0, cut % whole.length)]) {
          try {
            expect(Buffer.from(encodePacket(decodePacket(bytes))).equals(bytes)).toBe(true);
          } catch (error) {
            if (!(error instanceof DecodeError)) throw error;
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses flags that are not known and a message that is cut short', () => {
    const [known, rest] = [Buffer.of(0), Buffer.alloc(12)];
    expect(decodePacket(Buffer.concat([known, rest])).messages).toEqual([]);
    expect(() => decodePacket(Buffer.concat([Buffer.of(2), rest]))).toThrow(DecodeError);
    expect(() => decodePacket(Buffer.concat([known, rest, Buffer.of(0, 2, 7)]))).toThrow(DecodeError);
  });

  it('takes what fits to the last byte', () => {
    const half = (MAX_PACKED_BYTES - 2) / 2;
    const messages = [new Uint8Array(Math.floor(half)), new Uint8Array(Math.ceil(half))];
    expect(takePacket(messages)).toBe(2);
    expect(takePacket([new Uint8Array(Math.floor(half)), new Uint8Array(Math.ceil(half) + 1)])).toBe(1);
  });

  it('takes messages in their order, each one once, and never more than a datagram holds', () => {
    fc.assert(
      fc.property(messages, (queue) => {
        let rest = queue;
        while (rest.length > 0) {
          const count = takePacket(rest);
          const size = (n: number): number =>
            encodePacket({ asks: false, acknowledged: 0, writeSequence: 0, messages: rest.slice(0, n) })
              .length;
          expect(count).toBeGreaterThan(0);
          expect(size(count)).toBeLessThanOrEqual(MAX_SEALED_BYTES);
          if (count < rest.length) expect(size(count + 1)).toBeGreaterThan(MAX_SEALED_BYTES);
          rest = rest.slice(count);
        }
      }),
    );
  });
});
