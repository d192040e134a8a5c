/**
 * The fence: where a Raft database stands, kept outside LevelDB, because a database that has lost its newest writes
 * looks like a younger one from inside. Pure. Two slots, each in a page of its own; the other one's turn comes when the
 * last write was synced, so that a torn write leaves a whole one. A fence is written after its batch is durable: a
 * database may be ahead of it, never behind.
 *
 *   slot n % 2, at 4096 * (n % 2)   n, replica id, write sequence, term, vote, last entry id, counter of m/seen
 */
import {
  type EntryId,
  type HardState,
  type ReplicaId,
  toReplicaId,
  toTerm,
  ZERO_ENTRY,
} from '../core/types.ts';
import { DecodeError } from './bytes.ts';
import { decodeEntryId, encodeEntryId } from './codec.ts';
import { decodeReplica, type StateRecord, sealed, UnknownFormatError, unsealed } from './records.ts';

/** Where a database stands after a write. */
export interface Standing extends Pick<HardState, 'term' | 'vote'> {
  readonly writeSequence: number;
  readonly last: EntryId;
}

export interface Fence extends Standing {
  readonly replica: ReplicaId;
  /** Of the newest m/seen. */
  readonly seenSequence: number;
}

/** A page, which a disk writes as a whole or tears, and never together with its neighbour. */
const SLOT_BYTES = 4_096;
export const FENCE_BYTES: number = 2 * SLOT_BYTES;

/** Each write has a number, one higher than the last: it says where it goes, and which of two is the newer. */
export interface FenceSlot {
  readonly number: number;
  readonly fence: Fence;
}

export function slotOffset(number: number): number {
  return (number % 2) * SLOT_BYTES;
}

export function encodeSlot({ number, fence }: FenceSlot): Buffer {
  return sealed((to) => {
    to.u64(number);
    to.u64(fence.replica);
    to.u64(fence.writeSequence);
    to.u64(fence.term);
    to.u64(fence.vote ?? 0);
    encodeEntryId(to, fence.last);
    to.u64(fence.seenSequence);
  });
}

const ENCODED_BYTES = 69;

/**
 * The number of the slot after `newest`. The other slot's turn comes when the newest one is surely on the disk: a power
 * cut must not find both of them half written.
 */
export function nextSlot(newest: number, isSynced: boolean): number {
  return newest + (isSynced ? 1 : 2);
}

/** The newer slot of the two. Throws DecodeError when neither can be read. */
export function decodeFence(file: Uint8Array): FenceSlot {
  let newest: FenceSlot | null = null;
  for (const parity of [0, 1]) {
    const slot = decodeSlot(file, parity);
    if (slot !== null && (newest === null || slot.number > newest.number)) newest = slot;
  }
  if (newest === null) throw new DecodeError('neither slot of its fence can be read');
  return newest;
}

/** Null for a slot that was never written or was torn. */
function decodeSlot(file: Uint8Array, parity: number): FenceSlot | null {
  const start = slotOffset(parity);
  try {
    return unsealed(file.subarray(start, start + ENCODED_BYTES), (from) => {
      const number = from.u64();
      if (number % 2 !== parity) throw new DecodeError('a slot is in the place of the other');
      const replica = decodeReplica(from);
      const writeSequence = from.u64();
      const term = toTerm(from.u64());
      const vote = from.u64();
      const last = decodeEntryId(from);
      const fence = { replica, writeSequence, term, vote: vote === 0 ? null : toReplicaId(vote), last };
      return { number, fence: { ...fence, seenSequence: from.u64() } };
    });
  } catch (error) {
    if (error instanceof UnknownFormatError || !(error instanceof DecodeError)) throw error;
    return null;
  }
}

/** Of a database without any batch. */
export function fenceOfNothing(replica: ReplicaId): Fence {
  const { term } = ZERO_ENTRY;
  return { replica, writeSequence: 0, term, vote: null, last: ZERO_ENTRY, seenSequence: 0 };
}

export function standingOf({ hardState, writeSequence, last }: StateRecord): Standing {
  const { term, vote } = hardState;
  return { writeSequence, term, vote, last: { term: last.term, index: last.index } };
}

/** Throws DecodeError when the database is not what the fence saw, or has gone on from it. */
export function verifyFence(
  fence: Fence,
  replica: ReplicaId,
  state: StateRecord,
  seenSequence: number,
): void {
  if (fence.replica !== replica) throw new DecodeError(`its fence is of replica ${fence.replica}`);
  const { writeSequence, hardState, last } = state;
  if (writeSequence < fence.writeSequence) {
    throw new DecodeError(
      `it ends at write ${writeSequence} and its fence at ${fence.writeSequence}: newer writes are lost, or it is an older copy`,
    );
  }
  const sameTerm = hardState.term === fence.term;
  const follows =
    hardState.term >= fence.term && (!sameTerm || fence.vote === null || hardState.vote === fence.vote);
  const same =
    sameTerm &&
    hardState.vote === fence.vote &&
    last.index === fence.last.index &&
    last.term === fence.last.term;
  if (!follows || (writeSequence === fence.writeSequence && !same)) {
    throw new DecodeError(`it is not the database that its fence saw at write ${fence.writeSequence}`);
  }
  if (seenSequence < fence.seenSequence) throw new DecodeError('what peers were last seen at is lost');
}
