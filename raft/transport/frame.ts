/**
 * What goes over a stream, as bytes: `length u32 | type u8 | body`, the length counting type and body. Pure. The
 * reader holds what has arrived of one frame and refuses a length above its limit before it holds anything of it.
 */
import { type ReplicaId, toReplicaId, toTerm } from '../core/types.ts';
import { ByteReader, ByteWriter, DecodeError } from '../storage/bytes.ts';
import type { Position } from '../storage/storage.ts';

export const FRAME = {
  hello: 1,
  refused: 2,
  message: 3,
  request: 4,
  response: 5,
  ping: 6,
  pong: 7,
} as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

const LENGTH_BYTES = 4;
const TYPE_BYTES = 1;
const PROTOCOL_VERSION = 1;
export const CONTEXT_HASH_BYTES = 32;

/** Bytes of a frame besides its body, as its length counts them. */
export const FRAME_OVERHEAD_BYTES: number = TYPE_BYTES;

export function encodeFrameHeader(type: FrameType, bodyBytes: number): Uint8Array {
  const to = new ByteWriter(LENGTH_BYTES + TYPE_BYTES);
  to.u32(TYPE_BYTES + bodyBytes);
  to.u8(type);
  return to.finish();
}

export class FrameReader {
  /** Type and body of one frame. */
  maxFrameBytes: number;
  readonly #chunks: Buffer[] = [];
  #buffered = 0;

  constructor(maxFrameBytes: number) {
    this.maxFrameBytes = maxFrameBytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /** The next whole frame, or null until more arrives. Throws DecodeError for a length out of bounds. */
  next(): { readonly type: number; readonly body: Buffer } | null {
    if (this.#buffered < LENGTH_BYTES) return null;
    this.#gather(LENGTH_BYTES);
    const length = this.#chunks[0]?.readUInt32BE(0) ?? 0;
    if (length < TYPE_BYTES || length > this.maxFrameBytes)
      throw new DecodeError(`a frame of ${length} bytes, at most ${this.maxFrameBytes} are allowed`);
    const total = LENGTH_BYTES + length;
    if (this.#buffered < total) return null;
    const frame = this.#gather(total);
    this.#consume(frame, total);
    return { type: frame[LENGTH_BYTES] ?? 0, body: frame.subarray(LENGTH_BYTES + TYPE_BYTES, total) };
  }

  /** Makes the first chunk hold at least `size` bytes. Whole frames are put together once, not with each arrival. */
  #gather(size: number): Buffer {
    let first = this.#chunks[0] ?? Buffer.alloc(0);
    if (first.length >= size) return first;
    let count = 0;
    let bytes = 0;
    while (bytes < size) bytes += this.#chunks[count++]?.length ?? size;
    first = Buffer.concat(this.#chunks.slice(0, count));
    this.#chunks.splice(0, count, first);
    return first;
  }

  #consume(first: Buffer, size: number): void {
    this.#buffered -= size;
    if (first.length === size) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(size);
  }
}

/** The first frame of each side. */
export interface Hello {
  /** Null for who is no replica, or not yet. */
  readonly replica: ReplicaId | null;
  /** Names the cluster that `replica` belongs to; not looked at where there is no replica. */
  readonly contextHash: Uint8Array;
  /** Where the disk of `replica` is. */
  readonly position: Position;
}

export function encodeHello(hello: Hello): Uint8Array {
  const to = new ByteWriter(1 + 8 + CONTEXT_HASH_BYTES + 16);
  to.u8(PROTOCOL_VERSION);
  to.u64(hello.replica ?? 0);
  to.raw(hello.contextHash);
  encodePosition(to, hello.position);
  return to.finish();
}

/** Throws DecodeError. */
export function decodeHello(bytes: Uint8Array): Hello {
  const from = new ByteReader(bytes);
  const version = from.u8();
  if (version !== PROTOCOL_VERSION) throw new DecodeError(`protocol version ${version} is not known`);
  const replica = from.u64();
  const contextHash = from.copy(CONTEXT_HASH_BYTES);
  const position = decodePosition(from);
  from.end();
  return { replica: replica === 0 ? null : toReplicaId(replica), contextHash, position };
}

/** Why a hello was not answered with one, so that the other side can say so. */
export type Refusal =
  | { readonly reason: 'context' | 'identity' }
  /** `seen`: what was seen of the other side's disk, and is not there any more. */
  | { readonly reason: 'rolled-back'; readonly seen: Position };

const REFUSAL = { context: 1, identity: 2, 'rolled-back': 3 } as const;

export function encodeRefusal(refusal: Refusal): Uint8Array {
  const to = new ByteWriter(1 + 16);
  to.u8(REFUSAL[refusal.reason]);
  if (refusal.reason === 'rolled-back') encodePosition(to, refusal.seen);
  return to.finish();
}

/** Null for a reason that is not known here. Throws DecodeError. */
export function decodeRefusal(bytes: Uint8Array): Refusal | null {
  const from = new ByteReader(bytes);
  const refusal = decodeReason(from);
  if (refusal !== null) from.end();
  return refusal;
}

function decodeReason(from: ByteReader): Refusal | null {
  switch (from.u8()) {
    case REFUSAL.context:
      return { reason: 'context' };
    case REFUSAL.identity:
      return { reason: 'identity' };
    case REFUSAL['rolled-back']:
      return { reason: 'rolled-back', seen: decodePosition(from) };
    default:
      return null;
  }
}

export function describeRefusal(refusal: Refusal | null): string {
  switch (refusal?.reason) {
    case 'context':
      return 'it belongs to another cluster';
    case 'identity':
      return 'it does not know this replica with this certificate';
    case 'rolled-back':
      return `it has seen write ${refusal.seen.writeSequence} of term ${refusal.seen.term} of this replica`;
    default:
      return 'it refused without a reason known here';
  }
}

function encodePosition(to: ByteWriter, { writeSequence, term }: Position): void {
  to.u64(writeSequence);
  to.u64(term);
}

function decodePosition(from: ByteReader): Position {
  return { writeSequence: from.u64(), term: toTerm(from.u64()) };
}
