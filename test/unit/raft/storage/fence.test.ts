import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { DecodeError } from '../../../../raft/storage/bytes.ts';
import {
  decodeFence,
  encodeSlot,
  FENCE_BYTES,
  type Fence,
  type FenceSlot,
  fenceOfNothing,
  slotOffset,
  verifyFence,
} from '../../../../raft/storage/fence.ts';
import { type StateRecord, startOfChain, UnknownFormatError } from '../../../../raft/storage/records.ts';

const replica = toReplicaId(7);
const id = (term: number, index: number) => ({ term: toTerm(term), index: toLogIndex(index) });

const fence: Fence = {
  replica,
  writeSequence: 40,
  term: toTerm(3),
  vote: toReplicaId(2),
  last: id(3, 20),
  seenSequence: 5,
};

function fileOf(...slots: FenceSlot[]): Buffer {
  const bytes = Buffer.alloc(FENCE_BYTES);
  for (const slot of slots) encodeSlot(slot).copy(bytes, slotOffset(slot.number));
  return bytes;
}

const older = { number: 8, fence: { ...fence, writeSequence: 39 } };
const newer = { number: 9, fence };

describe('the file of a fence', () => {
  it('comes back as it was written', () => {
    for (const slot of [{ number: 0, fence: fenceOfNothing(replica) }, older, newer]) {
      expect(decodeFence(fileOf(slot))).toEqual(slot);
    }
  });

  it('is its newer slot, in whichever place', () => {
    expect(decodeFence(fileOf(older, newer))).toEqual(newer);
    expect(decodeFence(fileOf({ ...older, number: 10 }, newer)).number).toBe(10);
  });

  it('falls back on the older slot wherever a bit of the newer is wrong, and never invents one', () => {
    const whole = fileOf(older, newer);
    for (let bit = 0; bit < 69 * 8; bit++) {
      const bytes = Buffer.from(whole);
      const at = slotOffset(newer.number) + (bit >> 3);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      expect(decodeFence(bytes)).toEqual(older);
    }
  });

  it.each([
    ['nothing was ever written', Buffer.alloc(FENCE_BYTES)],
    ['it is empty', Buffer.alloc(0)],
    ['it is cut', fileOf(older, newer).subarray(0, 40)],
    [
      'a slot is in the place of the other',
      Buffer.concat([Buffer.alloc(4_096), fileOf(older).subarray(0, 4_096)]),
    ],
  ])('cannot be read when %s', (_name, bytes) => {
    expect(() => decodeFence(bytes)).toThrow(DecodeError);
  });

  it('of a newer version is not called damaged', () => {
    const bytes = fileOf(older, newer);
    const slot = bytes.subarray(0, 69);
    slot[4] = 2;
    slot.writeUInt32BE(crc32(slot.subarray(4)));
    expect(() => decodeFence(bytes)).toThrow(UnknownFormatError);
  });
});

describe('a database', () => {
  interface Found {
    writeSequence?: number;
    term?: number;
    vote?: number | null;
    last?: [term: number, index: number];
    seenSequence?: number;
  }

  function check(found: Found, of = replica): void {
    const { writeSequence = 40, term = 3, vote = 2, last = [3, 20], seenSequence = 5 } = found;
    const state: StateRecord = {
      hardState: {
        term: toTerm(term),
        vote: vote === null ? null : toReplicaId(vote),
        commit: toLogIndex(0),
      },
      writeSequence,
      base: startOfChain(id(0, 0)),
      last: startOfChain(id(...last)),
      snapshotIndex: toLogIndex(0),
    };
    verifyFence(fence, of, state, seenSequence);
  }

  it.each<[string, Found]>([
    ['as its fence saw it', {}],
    ['some writes further', { writeSequence: 43, last: [3, 25] }],
    ['some writes further, truncated', { writeSequence: 43, term: 4, vote: null, last: [2, 11] }],
    ['that has voted since in a later term', { writeSequence: 41, term: 5, vote: 1 }],
    ['that remembers more of its peers', { seenSequence: 6 }],
  ])('%s is whole', (_name, found) => check(found));

  it.each<[string, Found, string]>([
    ['that lost its newest write', { writeSequence: 39 }, 'newer writes are lost'],
    ['with another vote', { vote: 1 }, 'not the database'],
    ['without its vote', { vote: null }, 'not the database'],
    ['with another term', { term: 4 }, 'not the database'],
    ['with another last entry', { last: [3, 21] }, 'not the database'],
    ['with a last entry of another term', { last: [2, 20] }, 'not the database'],
    ['further on in an earlier term', { writeSequence: 41, term: 2, last: [2, 20] }, 'not the database'],
    ['further on with another vote in the same term', { writeSequence: 41, vote: 1 }, 'not the database'],
    ['that forgot what it saw of its peers', { seenSequence: 4 }, 'last seen'],
  ])('%s is refused', (_name, found, sentence) => {
    expect(() => check(found)).toThrow(sentence);
    expect(() => check(found)).toThrow(DecodeError);
  });

  it('beside the fence of another replica is refused', () => {
    expect(() => check({}, toReplicaId(8))).toThrow('replica 7');
  });
});
