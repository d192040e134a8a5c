/**
 * Netlink messages as bytes. Framing, attributes and host byte order are the `netlink` package's own; what is ours is
 * a writer that packs many messages into one buffer, because a pack in one send() is what makes a thousand routes
 * cheap, and readers that take an attribute only in the form we know. Anything else throws, and the caller says what
 * could not be read. The package's message layer is not used: it reads every attribute of a link, so that one that a
 * newer kernel has made longer fails the whole list, and it costs 9 MB.
 */
import {
  align,
  HEADER_LENGTH,
  type NetlinkMessage,
  parseAttributes,
  parseError,
  readS32,
} from 'netlink/dist/structs.js';
import { NLM_F } from './constants.ts';

export type Message = NetlinkMessage;

/** By type. Where the kernel repeats one, the last counts. */
export type Attributes = ReadonlyMap<number, Buffer>;

const NESTED = 0x8000;
const FIRST_BYTES = 16 << 10;

/** Messages begin and fields lie at multiples of their size, so views write them in host order. Ten thousand routes
 *  pass through here at a start, before any of it is compiled: it calls little and allocates nothing. */
export class MessageWriter {
  #u8 = new Uint8Array(FIRST_BYTES);
  #u16 = new Uint16Array(this.#u8.buffer);
  #u32 = new Uint32Array(this.#u8.buffer);
  /** All behind it is zero. */
  #length = 0;
  #start = 0;

  get length(): number {
    return this.#length;
  }

  /** Everything written so far; valid until the next write. */
  bytes(): Buffer {
    return Buffer.from(this.#u8.buffer, 0, this.#length);
  }

  clear(): void {
    this.#u8.fill(0, 0, this.#length);
    this.#length = 0;
  }

  begin(type: number, flags: number, seq: number): void {
    const at = this.#take(HEADER_LENGTH);
    this.#start = at;
    this.#u16[(at + 4) >> 1] = type;
    this.#u16[(at + 6) >> 1] = flags;
    this.#u32[(at + 8) >> 2] = seq;
  }

  end(): void {
    this.#u32[this.#start >> 2] = this.#length - this.#start;
  }

  /** Adds flags to the message that was begun last. */
  flag(flags: number): void {
    this.#u16[(this.#start + 6) >> 1] = (this.#u16[(this.#start + 6) >> 1] ?? 0) | flags;
  }

  /** Four fields of one byte. */
  u8x4(a: number, b: number, c: number, d: number): void {
    const at = this.#take(4);
    this.#u8[at] = a;
    this.#u8[at + 1] = b;
    this.#u8[at + 2] = c;
    this.#u8[at + 3] = d;
  }

  /** A field of two bytes, one of one, and one that is zero. */
  u16u8(a: number, b: number): void {
    const at = this.#take(4);
    this.#u16[at >> 1] = a;
    this.#u8[at + 2] = b;
  }

  u32(value: number): void {
    const at = this.#take(4);
    this.#u32[at >> 2] = value;
  }

  /** A multiple of four. */
  zeros(bytes: number): void {
    this.#take(bytes);
  }

  attribute(type: number, data: Uint8Array): void {
    this.#u8.set(data, this.#attribute(type, data.length));
  }

  attributeU8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#u8[at] = value;
  }

  attributeU32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#u32[at >> 2] = value;
  }

  /** Network order. */
  attributeU16be(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#u8[at] = value >> 8;
    this.#u8[at + 1] = value;
  }

  /** Network order; an IPv4 address. */
  attributeU32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#u8[at] = value >>> 24;
    this.#u8[at + 1] = value >>> 16;
    this.#u8[at + 2] = value >>> 8;
    this.#u8[at + 3] = value;
  }

  attributeText(type: number, text: string): void {
    this.attribute(type, Buffer.from(`${text}\0`));
  }

  nested(type: number, write: () => void): void {
    const at = this.#take(4);
    write();
    this.#u16[at >> 1] = this.#length - at;
    this.#u16[(at >> 1) + 1] = type | NESTED;
  }

  /** Where its data goes. */
  #attribute(type: number, bytes: number): number {
    const at = this.#take((4 + bytes + 3) & ~3);
    this.#u16[at >> 1] = 4 + bytes;
    this.#u16[(at >> 1) + 1] = type;
    return at + 4;
  }

  /** Zeroed room at the end; where it begins. */
  #take(bytes: number): number {
    const at = this.#length;
    this.#length = at + bytes;
    if (this.#length > this.#u8.length) this.#grow();
    return at;
  }

  #grow(): void {
    const larger = new Uint8Array((2 * this.#length + 3) & ~3);
    larger.set(this.#u8);
    this.#u8 = larger;
    this.#u16 = new Uint16Array(larger.buffer);
    this.#u32 = new Uint32Array(larger.buffer);
  }
}

/** Of everything after the first `skip` bytes. Throws on what is no row of attributes. */
export function attributes(data: Buffer, skip = 0): Attributes {
  const found = new Map<number, Buffer>();
  parseAttributes(data.subarray(skip), ({ type, data: value }) => found.set(type, value));
  return found;
}

/** What an error message says: 0 is an acknowledgement. */
export interface Verdict {
  readonly errno: number;
  /** The kernel's own sentence, where it gave one. */
  readonly text: string | null;
}

/** Throws on what is no error message. */
export function verdict({ data, flags }: Message): Verdict {
  const { errno, header } = parseError(data, flags);
  const echoed = (flags & NLM_F.capped) !== 0 ? HEADER_LENGTH : header.length;
  const text =
    (flags & NLM_F.ackTlvs) === 0 ? undefined : attributes(data, align(4 + echoed)).get(EXT_ACK_TEXT);
  return { errno: -errno, text: text === undefined ? null : textOf(text) };
}

const EXT_ACK_TEXT = 1;

/** The errno a dump ended with; 0 where all is well. */
export function doneErrno({ data }: Message): number {
  return data.length < 4 ? 0 : -readS32.call(data, 0);
}

/** Text up to the first NUL. */
export function textOf(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('utf8', 0, end < 0 ? data.length : end);
}
