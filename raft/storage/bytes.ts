/**
 * A writer and a reader of fixed binary layouts, big-endian, shared by the disk format and the wire format. The reader
 * trusts nothing: a length is checked against what is left before it is used, and whatever does not parse is a
 * DecodeError and nothing else. Knows no format itself.
 */

/** Bytes that are not what the format says. Expected from sockets and disks: the caller decides what it means. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

const TWO_32 = 2 ** 32;

export class ByteWriter {
  /** Of the shared pool: allocating and clearing memory of its own costs more than most of what is written. */
  #bytes: Buffer;
  #length = 0;

  /** `capacity` is a first guess; the buffer grows. */
  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  u8(n: number): void {
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(n, at);
  }

  u16(n: number): void {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16BE(n, at);
  }

  u32(n: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32BE(n, at);
  }

  /** Safe integers only: what is 64 bit in the format is 53 bit in memory. */
  u64(n: number): void {
    const at = this.#reserve(8);
    this.#bytes.writeUInt32BE(Math.floor(n / TWO_32), at);
    this.#bytes.writeUInt32BE(n % TWO_32, at + 4);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written; a view, valid until the next write. */
  finish(): Buffer {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for `size` bytes and returns where they go. Call it before touching `#bytes`: it may replace it. */
  #reserve(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return at;
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    // Of a Buffer, `slice` would be a view and not the copy that it is of any other array of bytes.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u64(): number {
    const at = this.#take(8);
    const n = this.#view.getUint32(at) * TWO_32 + this.#view.getUint32(at + 4);
    if (!Number.isSafeInteger(n)) throw new DecodeError('a 64-bit number is larger than 2^53 - 1');
    return n;
  }

  /** A view into the input. */
  raw(size: number): Uint8Array {
    const at = this.#take(size);
    return this.#bytes.subarray(at, at + size);
  }

  /** The same, for what is to outlive the input. Of the shared pool, as what is written. */
  copy(size: number): Uint8Array {
    const { buffer, byteOffset } = Buffer.allocUnsafe(size);
    const bytes = new Uint8Array(buffer, byteOffset, size);
    bytes.set(this.raw(size));
    return bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Every format ends exactly where its bytes end. */
  end(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.remaining} bytes too many`);
  }

  #take(size: number): number {
    if (size > this.remaining) {
      throw new DecodeError(`${size} bytes wanted at offset ${this.#offset}, ${this.remaining} are left`);
    }
    const at = this.#offset;
    this.#offset += size;
    return at;
  }
}
