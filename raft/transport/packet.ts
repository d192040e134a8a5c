/**
 * What a datagram holds once it is opened: an acknowledgement of the other direction, how far the sender's disk is, and
 * the messages that left in one turn. Pure.
 *
 *   flags u8 (1: answer at once) | acknowledged u32 | write sequence u64 | ( length u16 | message ) ...
 */
import { ByteReader, ByteWriter, DecodeError } from '../storage/bytes.ts';
import { MAX_SEALED_BYTES } from './keys.ts';

const FLAG_ASKS = 1;
const HEADER_BYTES = 1 + 4 + 8;
const LENGTH_BYTES = 2;

/** The largest message that a datagram can carry. */
export const MAX_PACKED_BYTES: number = MAX_SEALED_BYTES - HEADER_BYTES - LENGTH_BYTES;

export interface Packet {
  /** The receiver is to answer even when it has nothing to say. */
  readonly asks: boolean;
  /** One more than the highest counter that the sender has accepted under the keys of this datagram; 0: none yet. */
  readonly acknowledged: number;
  /** The last write that is durable at the sender. */
  readonly writeSequence: number;
  readonly messages: readonly Uint8Array[];
}

export function encodePacket({ asks, acknowledged, writeSequence, messages }: Packet): Uint8Array {
  const to = new ByteWriter(messages.reduce((bytes, message) => bytes + packedBytes(message), HEADER_BYTES));
  to.u8(asks ? FLAG_ASKS : 0);
  to.u32(acknowledged);
  to.u64(writeSequence);
  for (const message of messages) {
    to.u16(message.length);
    to.raw(message);
  }
  return to.finish();
}

/** Throws DecodeError. The messages are views into `bytes`. */
export function decodePacket(bytes: Uint8Array): Packet {
  const from = new ByteReader(bytes);
  const flags = from.u8();
  if (flags > FLAG_ASKS) throw new DecodeError(`datagram flags ${flags} are not known`);
  const acknowledged = from.u32();
  const writeSequence = from.u64();
  const messages: Uint8Array[] = [];
  while (from.remaining > 0) messages.push(from.raw(from.u16()));
  return { asks: flags === FLAG_ASKS, acknowledged, writeSequence, messages };
}

/** As many of the first messages as fit into one packet together; at least one. */
export function takePacket(messages: readonly Uint8Array[]): number {
  let bytes = HEADER_BYTES;
  let count = 0;
  for (const message of messages) {
    bytes += packedBytes(message);
    if (bytes > MAX_SEALED_BYTES && count > 0) break;
    count += 1;
  }
  return count;
}

function packedBytes(message: Uint8Array): number {
  return LENGTH_BYTES + message.length;
}
