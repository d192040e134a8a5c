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
  readU16,
  writeU16,
  writeU32,
} from 'netlink/dist/structs.js';
import { NLM_F } from './constants.ts';

export type Message = NetlinkMessage;

/** By type. Where the kernel repeats one, the last counts. */
export type Attributes = ReadonlyMap<number, Buffer>;

const NESTED = 0x8000;
const FIRST_BYTES = 4096;

export class MessageWriter {
  #buffer = Buffer.alloc(FIRST_BYTES);
  #length = 0;
  #start = 0;

  get length(): number {
    return this.#length;
  }

  /** Everything written so far; valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  begin(type: number, flags: number, seq: number): void {
    this.#start = this.#take(HEADER_LENGTH);
    writeU16.call(this.#buffer, type, this.#start + 4);
    writeU16.call(this.#buffer, flags, this.#start + 6);
    writeU32.call(this.#buffer, seq, this.#start + 8);
    writeU32.call(this.#buffer, 0, this.#start + 12);
  }

  /** The length excludes the padding of a last attribute; the next message starts behind it all the same. */
  end(): void {
    writeU32.call(this.#buffer, this.#length - this.#start, this.#start);
  }

  /** Adds flags to the message that was begun last. */
  flag(flags: number): void {
    const at = this.#start + 6;
    writeU16.call(this.#buffer, readU16.call(this.#buffer, at) | flags, at);
  }

  u8(...values: readonly number[]): void {
    const at = this.#take(values.length);
    for (const [index, value] of values.entries()) this.#buffer[at + index] = value;
  }

  zeros(bytes: number): void {
    this.#take(bytes);
  }

  u16(value: number): void {
    writeU16.call(this.#buffer, value, this.#take(2));
  }

  u32(value: number): void {
    const at = this.#take(4);
    writeU32.call(this.#buffer, value, at);
  }

  attribute(type: number, data: Uint8Array): void {
    const at = this.#take(align(4 + data.length));
    writeU16.call(this.#buffer, 4 + data.length, at);
    writeU16.call(this.#buffer, type, at + 2);
    this.#buffer.set(data, at + 4);
  }

  attributeU8(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value));
  }

  attributeU32(type: number, value: number): void {
    const at = this.#take(8);
    writeU16.call(this.#buffer, 8, at);
    writeU16.call(this.#buffer, type, at + 2);
    writeU32.call(this.#buffer, value, at + 4);
  }

  /** Network order. */
  attributeU16be(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value >> 8, value & 0xff));
  }

  attributeText(type: number, text: string): void {
    this.attribute(type, Buffer.from(`${text}\0`));
  }

  nested(type: number, write: () => void): void {
    const at = this.#take(4);
    write();
    writeU16.call(this.#buffer, this.#length - at, at);
    writeU16.call(this.#buffer, type | NESTED, at + 2);
  }

  /** Zeroed room at the end; where it begins. */
  #take(bytes: number): number {
    const at = this.#length;
    if (at + bytes > this.#buffer.length) {
      const larger = Buffer.alloc(2 * (at + bytes));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#buffer.fill(0, at, at + bytes);
    this.#length = at + bytes;
    return at;
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
