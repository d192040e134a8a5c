/**
 * The keys of one pair's datagrams. They come out of the pair's mutual TLS 1.3 connection (RFC 8446 section 7.5), so
 * both ends have them after the handshake, nobody else does, and no handshake or cipher here is of our own making.
 *
 * Frame: `version u8 | key id u64 | counter u64 | ciphertext | tag 16`, AES-256-GCM. The header is authenticated;
 * who speaks to whom in which cluster is bound by the derivation. Each direction has its own key, and its counter
 * only rises and is never stored: keys die with the process, so a nonce cannot come twice.
 * A frame that was not sealed by the peer is told from its first 17 bytes in most cases, and by the tag otherwise.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { assert, type ReplicaId } from '../core/types.ts';
import { KEY_DATAGRAMS_MAX, MAX_DATAGRAM_BYTES } from '../limits.ts';
import { ReplayWindow } from './replay.ts';

/** What keys come from: a session. */
export interface KeyExporter {
  exportKeyingMaterial(label: string, length: number, context: Buffer): Buffer;
}

const CIPHER = 'aes-256-gcm';
const LABEL = 'EXPORTER-tsflannel-raft-datagram';
const FRAME_VERSION = 1;
const ID_BYTES = 8;
const HEADER_BYTES = 1 + ID_BYTES + 8;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** 96 bits, as TLS 1.3 makes nonces (RFC 8446 section 5.3). */
const SALT_BYTES = 12;
const DIRECTION_BYTES = KEY_BYTES + SALT_BYTES;

/** What a sealed frame leaves for the plaintext. */
export const MAX_SEALED_BYTES: number = MAX_DATAGRAM_BYTES - HEADER_BYTES - TAG_BYTES;

/** Names a set of keys on the wire. */
export type KeyId = bigint;

interface Direction {
  readonly key: KeyObject;
  readonly salt: Buffer;
}

/** The key id that a frame claims, undefined for what cannot be a frame. Allocates nothing but the number. */
export function keyIdOf(frame: Buffer): KeyId | undefined {
  const fits = frame.length >= HEADER_BYTES + TAG_BYTES && frame.length <= MAX_DATAGRAM_BYTES;
  return fits && frame[0] === FRAME_VERSION ? frame.readBigUInt64BE(1) : undefined;
}

export class DatagramKeys {
  readonly id: KeyId;
  readonly #idBytes: Buffer;
  readonly #outbound: Direction;
  readonly #inbound: Direction;
  readonly #window = new ReplayWindow();
  #nextCounter = 0;

  /**
   * The same for both ends of `exporter`'s connection, with `self` and `peer` swapped. Once only for a connection:
   * a second object would count from 0 again and use nonces twice.
   */
  static derive(exporter: KeyExporter, context: Uint8Array, self: ReplicaId, peer: ReplicaId): DatagramKeys {
    return new DatagramKeys(exporter, context, self, peer);
  }

  private constructor(exporter: KeyExporter, context: Uint8Array, self: ReplicaId, peer: ReplicaId) {
    assert(self !== peer, `replica ${self} cannot share keys with itself`);
    const pair = Buffer.alloc(16);
    pair.writeBigUInt64BE(BigInt(Math.min(self, peer)), 0);
    pair.writeBigUInt64BE(BigInt(Math.max(self, peer)), 8);
    const bytes = exporter.exportKeyingMaterial(
      LABEL,
      ID_BYTES + 2 * DIRECTION_BYTES,
      Buffer.concat([pair, context]),
    );
    this.#idBytes = bytes.subarray(0, ID_BYTES);
    this.id = this.#idBytes.readBigUInt64BE(0);
    const upwards = directionFrom(bytes.subarray(ID_BYTES, ID_BYTES + DIRECTION_BYTES));
    const downwards = directionFrom(bytes.subarray(ID_BYTES + DIRECTION_BYTES));
    this.#outbound = self < peer ? upwards : downwards;
    this.#inbound = self < peer ? downwards : upwards;
  }

  /** Half of the counters are used: time for new keys. */
  get isWorn(): boolean {
    return this.#nextCounter >= KEY_DATAGRAMS_MAX / 2;
  }

  /** How many were sealed: the counter of the next one. */
  get sealedCount(): number {
    return this.#nextCounter;
  }

  /** One more than the highest counter that was opened; 0 before the first. */
  get acceptedCount(): number {
    return this.#window.newest + 1;
  }

  /** Null when the keys are used up. */
  seal(plaintext: Uint8Array): Buffer | null {
    assert(plaintext.length <= MAX_SEALED_BYTES, `datagram too large: ${plaintext.length} bytes`);
    if (this.#nextCounter >= KEY_DATAGRAMS_MAX) return null;
    const counter = this.#nextCounter++;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header[0] = FRAME_VERSION;
    this.#idBytes.copy(header, 1);
    header.writeBigUInt64BE(BigInt(counter), 1 + ID_BYTES);
    const { key, salt } = this.#outbound;
    const cipher = createCipheriv(CIPHER, key, nonceFrom(salt, header), { authTagLength: TAG_BYTES });
    cipher.setAAD(header);
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return Buffer.concat([header, ciphertext, cipher.getAuthTag()]);
  }

  /** The plaintext of a frame whose keyIdOf is ours; null for a forged, damaged or repeated one. */
  open(frame: Buffer): Buffer | null {
    const counter = frame.readBigUInt64BE(1 + ID_BYTES);
    if (counter >= BigInt(KEY_DATAGRAMS_MAX)) return null;
    const header = frame.subarray(0, HEADER_BYTES);
    const tagAt = frame.length - TAG_BYTES;
    const { key, salt } = this.#inbound;
    const decipher = createDecipheriv(CIPHER, key, nonceFrom(salt, header), { authTagLength: TAG_BYTES });
    decipher.setAAD(header);
    decipher.setAuthTag(frame.subarray(tagAt));
    const plaintext = decipher.update(frame.subarray(HEADER_BYTES, tagAt));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return this.#window.accept(Number(counter)) ? plaintext : null;
  }
}

function directionFrom(bytes: Buffer): Direction {
  return { key: createSecretKey(bytes.subarray(0, KEY_BYTES)), salt: Buffer.from(bytes.subarray(KEY_BYTES)) };
}

/** salt xor counter, the counter right-aligned. */
function nonceFrom(salt: Buffer, header: Buffer): Buffer {
  const nonce = Buffer.from(salt);
  const counterAt = 1 + ID_BYTES;
  for (let i = 0; i < 8; i++)
    nonce[SALT_BYTES - 8 + i] = (nonce[SALT_BYTES - 8 + i] ?? 0) ^ (header[counterAt + i] ?? 0);
  return nonce;
}
