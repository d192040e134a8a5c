import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_COMMAND_BYTES, MAX_CONFIGURATION_REPLICAS } from '../../../../raft/limits.ts';
import { ByteReader, ByteWriter, DecodeError } from '../../../../raft/storage/bytes.ts';
import {
  decodeConfiguration,
  decodeEntry,
  encodeConfiguration,
  encodedEntryBytes,
  encodeEntry,
} from '../../../../raft/storage/codec.ts';
import { configuration, entry } from './arbitraries.ts';

function written(write: (to: ByteWriter) => void): Uint8Array {
  const to = new ByteWriter(1);
  write(to);
  return to.finish();
}

/** The value, or null for a DecodeError; any other error is a failure of the test. */
function tryDecode<T>(bytes: Uint8Array, decode: (from: ByteReader) => T): T | null {
  try {
    return decode(new ByteReader(bytes));
  } catch (e) {
    if (e instanceof DecodeError) return null;
    throw e;
  }
}

describe('entries', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(entry, (value) => {
        const bytes = written((to) => encodeEntry(to, value));
        expect(bytes.length).toBe(encodedEntryBytes(value));
        const from = new ByteReader(bytes);
        expect(decodeEntry(from)).toEqual(value);
        from.end();
      }),
    );
  });

  it('own their payload', () => {
    const value = { kind: 'command', term: 1, index: 1, payload: new Uint8Array([7]) };
    const bytes = written((to) => {
      to.u8(1);
      to.u64(value.term);
      to.u64(value.index);
      to.u32(1);
      to.u8(7);
    });
    const decoded = decodeEntry(new ByteReader(bytes));
    bytes.fill(0);
    expect(decoded).toEqual(value);
  });

  it('that are cut anywhere are refused', () => {
    fc.assert(
      fc.property(entry, fc.nat(), (value, at) => {
        const bytes = written((to) => encodeEntry(to, value));
        expect(tryDecode(bytes.subarray(0, at % bytes.length), decodeEntry)).toBeNull();
      }),
    );
  });

  it('of random bytes never crash and decode to what encodes to the same bytes', () => {
    const smallKinds = fc.tuple(fc.nat({ max: 3 }), fc.uint8Array({ maxLength: 80 }));
    fc.assert(
      fc.property(smallKinds, ([kind, rest]) => {
        const bytes = new Uint8Array([kind, 0, 0, 0, 0, ...rest]);
        const value = tryDecode(bytes, decodeEntry);
        if (value === null) return;
        const again = written((to) => encodeEntry(to, value));
        expect(bytes.subarray(0, again.length)).toEqual(again);
      }),
      { numRuns: 2_000 },
    );
  });

  const header = (kind: number, term: number, index: number, length: number): Uint8Array =>
    written((to) => {
      to.u8(kind);
      to.u64(term);
      to.u64(index);
      to.u32(length);
    });

  it.each([
    ['an unknown kind', header(9, 1, 1, 0)],
    ['a no-op with a body', new Uint8Array([...header(0, 1, 1, 1), 0])],
    ['term 0', header(0, 0, 1, 0)],
    ['index 0', header(0, 1, 0, 0)],
    ['a length beyond the end', header(1, 1, 1, 0xffffffff)],
    [
      'a command above the limit',
      new Uint8Array([...header(1, 1, 1, MAX_COMMAND_BYTES + 1), ...new Uint8Array(64)]),
    ],
    ['a term above 2^53', new Uint8Array([0, 0xff, 0, 0, 0, 0, 0, 0, 0, ...new Uint8Array(12)])],
    ['a configuration with bytes left over', new Uint8Array([...header(2, 1, 1, 7), ...new Uint8Array(7)])],
  ])('with %s are refused', (_name, bytes) => {
    expect(() => decodeEntry(new ByteReader(bytes))).toThrow(DecodeError);
  });
});

describe('configurations', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(configuration, (value) => {
        const bytes = written((to) => encodeConfiguration(to, value));
        expect(decodeConfiguration(new ByteReader(bytes))).toEqual(value);
      }),
    );
  });

  const raw = (voters: number[], outgoing: number[], learners: number[]): Uint8Array =>
    written((to) => {
      for (const list of [voters, outgoing, learners]) to.u16(list.length);
      for (const id of [...voters, ...outgoing, ...learners]) to.u64(id);
    });

  it.each([
    ['replica id 0', raw([0], [], [])],
    ['a duplicate', raw([1, 1], [], [])],
    ['ids out of order', raw([2, 1], [], [])],
    ['a learner that votes', raw([1, 2], [], [2])],
    ['outgoing voters only', raw([], [1], [])],
    [
      'too many replicas',
      raw(
        [],
        [],
        Array.from({ length: MAX_CONFIGURATION_REPLICAS + 1 }, (_, i) => i + 1),
      ),
    ],
    ['a count beyond the end', written((to) => [65_535, 0, 0].forEach((n) => void to.u16(n)))],
  ])('with %s are refused', (_name, bytes) => {
    expect(() => decodeConfiguration(new ByteReader(bytes))).toThrow(DecodeError);
  });

  it('may have a demoted voter in outgoing and learners', () => {
    expect(decodeConfiguration(new ByteReader(raw([1, 2], [1, 3], [3])))).toMatchObject({ learners: [3] });
  });
});
