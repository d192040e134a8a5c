import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { MAX_SNAPSHOT_BYTES, SNAPSHOT_CHUNK_BYTES } from '../../../../raft/limits.ts';
import { DecodeError } from '../../../../raft/storage/bytes.ts';
import { decodeMessage, encodeMessage } from '../../../../raft/transport/codec.ts';
import { message } from './arbitraries.ts';
import { chunk } from './members.ts';

describe('message codec', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(message, (value) => {
        expect(decodeMessage(encodeMessage(value))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses every shortened and every lengthened message', () => {
    fc.assert(
      fc.property(message, fc.nat(), (value, cut) => {
        const bytes = encodeMessage(value);
        expect(() => decodeMessage(bytes.subarray(0, cut % bytes.length))).toThrow(DecodeError);
        expect(() => decodeMessage(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(DecodeError);
      }),
    );
  });

  it('answers damaged bytes with a DecodeError or a message that is well formed, never with anything else', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
        const bytes = Buffer.from(encodeMessage(value));
        const offset = at % bytes.length;
        bytes[offset] = (bytes[offset] ?? 0) ^ flip;
        expectWellFormedOrRefused(bytes);
      }),
      { numRuns: 2_000 },
    );
  });

  it('answers random bytes the same way', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0, max: 13 }), (bytes, kind) => {
        expectWellFormedOrRefused(bytes);
        expectWellFormedOrRefused(Buffer.concat([Buffer.of(1, kind), bytes]));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['a replica id of 0', [1, 4, ...u64(0), ...u64(2), ...u64(1), 1]],
    ['a number above 2^53', [1, 6, ...u64(1), ...u64(2), ...u64(1), 0xff, ...u64(0).slice(1)]],
    ['a flag that is neither 0 nor 1', [1, 4, ...u64(1), ...u64(2), ...u64(1), 2]],
    ['another version', [2, 4, ...u64(1), ...u64(2), ...u64(1), 1]],
    ['a kind that is not known', [1, 99, ...u64(1), ...u64(2), ...u64(1), 1]],
  ])('refuses %s', (_name, bytes) => {
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow(DecodeError);
  });

  it.each([
    ['do not follow prev', 5, 7, 1, 1],
    ['are older than prev', 5, 6, 2, 1],
    ['are newer than the sender', 5, 6, 1, 9],
  ])('refuses entries that %s', (_name, prevIndex, index, prevTerm, term) => {
    const bytes = encodeMessage({
      kind: 'append-request',
      from: toReplicaId(1),
      to: toReplicaId(2),
      term: toTerm(3),
      prev: { term: toTerm(prevTerm), index: toLogIndex(prevIndex) },
      commit: toLogIndex(0),
      entries: [{ kind: 'noop', term: toTerm(term), index: toLogIndex(index) }],
    });
    expect(() => decodeMessage(bytes)).toThrow(DecodeError);
  });
});

describe('a snapshot chunk', () => {
  const [one, two] = [toReplicaId(1), toReplicaId(2)];
  const value = chunk(one, two, 512, 100);
  const bytesOf = (): Buffer => Buffer.from(encodeMessage(value));
  /** Where its last fields stand. */
  const dataAt = bytesOf().length - value.data.length;
  const at = { size: dataAt - 56, offset: dataAt - 16, length: dataAt - 8, data: dataAt };

  it('is refused when a bit of its data has changed', () => {
    fc.assert(
      fc.property(fc.nat({ max: 99 }), fc.integer({ min: 1, max: 255 }), (offset, flip) => {
        const bytes = bytesOf();
        bytes[at.data + offset] = (bytes[at.data + offset] ?? 0) ^ flip;
        expect(() => decodeMessage(bytes)).toThrow(/checksum/);
      }),
    );
  });

  it.each([
    ['of a snapshot that is too large', at.size, MAX_SNAPSHOT_BYTES + 1, /a snapshot of 268435457 bytes/],
    ['at an offset that is too large', at.offset, MAX_SNAPSHOT_BYTES + 1, /a snapshot of 268435457 bytes/],
    ['beyond the end of its snapshot', at.size, 611, /beyond the end/],
  ])('is refused %s', (_name, offset, n, sentence) => {
    const bytes = bytesOf();
    bytes.writeBigUInt64BE(BigInt(n), offset);
    expect(() => decodeMessage(bytes)).toThrow(sentence);
  });

  it('is refused when it is larger than a chunk may be, before its data is looked at', () => {
    const bytes = bytesOf();
    bytes.writeUInt32BE(SNAPSHOT_CHUNK_BYTES + 1, at.length);
    expect(() => decodeMessage(bytes)).toThrow(`a chunk of ${SNAPSHOT_CHUNK_BYTES + 1} bytes`);
    bytes.writeUInt32BE(0, at.length);
    expect(() => decodeMessage(bytes.subarray(0, at.data))).toThrow('without data');
  });

  it('may be as large as allowed, and hold the whole of an empty snapshot', () => {
    const largest = chunk(one, two, 0, SNAPSHOT_CHUNK_BYTES);
    expect(decodeMessage(encodeMessage(largest))).toEqual(largest);
    const empty = { ...chunk(one, two, 0, 0), size: 0 };
    expect(decodeMessage(encodeMessage(empty))).toEqual(empty);
  });
});

function expectWellFormedOrRefused(bytes: Uint8Array): void {
  try {
    const value = decodeMessage(bytes);
    expect(Buffer.from(encodeMessage(value)).equals(bytes)).toBe(true);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
}

function u64(n: number): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(n));
  return [...bytes];
}
