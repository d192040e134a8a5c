/**
 * The records of the Raft database, as bytes. Every value starts with the CRC-32 of the rest and a version; everything
 * is big-endian, so the order of keys is the order of entries. Pure but for the checksums of node:zlib.
 *
 *   m/id                         cluster id, replica id
 *   m/hs                         hard state, write sequence, first and last position of the log, snapshot index
 *   m/seen                       a counter, and the positions that peers were seen at
 *   m/snap                       last entry, configuration, generation, length and SHA-256 of the snapshot's data
 *   s/<generation u64>/<n u32>   the data, in chunks
 *   l/<index u64>                chain, term of the previous entry, entry
 *
 * A snapshot's chunks come first and m/snap last, under a generation that was never used before: chunks of another
 * generation are what a crash left, and no damage.
 *
 * LevelDB drops records of a damaged log file without a word, so no record is believed alone: each entry's chain is
 * seeded with the chain of the one before it, and m/hs, rewritten in every batch, says where the chain starts and ends.
 */
import { crc32 } from 'node:zlib';
import {
  type Configuration,
  type Entry,
  type EntryId,
  type HardState,
  type LogIndex,
  type ReplicaId,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../core/types.ts';
import { MAX_SNAPSHOT_BYTES } from '../limits.ts';
import { ByteReader, ByteWriter, DecodeError } from './bytes.ts';
import {
  decodeConfiguration,
  decodeEntry,
  decodeEntryId,
  encodeConfiguration,
  encodedEntryBytes,
  encodeEntry,
  encodeEntryId,
} from './codec.ts';
import type { PeerPositions, Position } from './storage.ts';

const FORMAT_VERSION = 1;
const CLUSTER_ID_BYTES_MAX = 255;
/** One synced write: small, so that entries written meanwhile do not wait long behind it. */
export const SNAPSHOT_CHUNK_BYTES: number = 256 << 10;

export const IDENTITY_KEY: Buffer = Buffer.from('m/id');
export const STATE_KEY: Buffer = Buffer.from('m/hs');
export const SEEN_KEY: Buffer = Buffer.from('m/seen');
export const SNAPSHOT_KEY: Buffer = Buffer.from('m/snap');
/** After checksum, version and chain. */
const LOG_BODY_OFFSET = 9;
const LOG_PREFIX = Buffer.from('l/');
const CHUNK_PREFIX = Buffer.from('s/');

/** Nothing is wrong with the bytes: a newer version wrote them. Never a reason to throw a database away. */
export class UnknownFormatError extends Error {
  override readonly name = 'UnknownFormatError';
}

/** Whose database this is: a directory copied to another replica is noticed. */
export interface StorageIdentity {
  readonly cluster: string;
  readonly replica: ReplicaId;
}

/** An end of the log: the entry and the chain up to it. */
export interface Link extends EntryId {
  readonly chain: number;
}

export interface StateRecord {
  readonly hardState: HardState;
  /** Counts the batches of this database. */
  readonly writeSequence: number;
  /** The entry before the first stored one. */
  readonly base: Link;
  readonly last: Link;
  /** 0 while there is no snapshot. */
  readonly snapshotIndex: LogIndex;
}

export interface SeenRecord {
  /** Counts the records of this kind, so that a lost one is noticed (fence.ts). */
  readonly sequence: number;
  readonly seen: PeerPositions;
}

export interface SnapshotRecord {
  readonly last: EntryId;
  readonly configuration: Configuration;
  /** Of the chunks that are this snapshot's. */
  readonly generation: number;
  readonly length: number;
  readonly sha256: Uint8Array;
}

export function logKey(index: LogIndex): Buffer {
  const to = new ByteWriter(10);
  to.raw(LOG_PREFIX);
  to.u64(index);
  return to.finish();
}

export function chunkKey(generation: number, chunk: number): Buffer {
  const to = new ByteWriter(14);
  to.raw(CHUNK_PREFIX);
  to.u64(generation);
  to.u32(chunk);
  return to.finish();
}

export function isLogKey(bytes: Buffer): boolean {
  return bytes.length === 10 && bytes.subarray(0, 2).equals(LOG_PREFIX);
}

/** Null for the key of another record. */
export function chunkGeneration(key: Buffer): number | null {
  if (key.length !== 14 || !key.subarray(0, 2).equals(CHUNK_PREFIX)) return null;
  return new ByteReader(key.subarray(2)).u64();
}

export function chunkCount(length: number): number {
  return Math.ceil(length / SNAPSHOT_CHUNK_BYTES);
}

/** The chain of a log that starts after `base`. */
export function startOfChain(base: EntryId): Link {
  const to = new ByteWriter(16);
  encodeEntryId(to, base);
  return { term: base.term, index: base.index, chain: crc32(to.finish()) };
}

export function encodeIdentity(identity: StorageIdentity): Buffer {
  const name = Buffer.from(identity.cluster);
  return sealed((to) => {
    to.u8(name.length);
    to.raw(name);
    to.u64(identity.replica);
  });
}

export function decodeIdentity(bytes: Uint8Array): StorageIdentity {
  return unsealed(bytes, (from) => {
    const cluster = Buffer.from(from.raw(from.u8())).toString();
    return { cluster, replica: decodeReplica(from) };
  });
}

/** A cluster id that does not fit is a bug of the caller. */
export function isClusterId(cluster: string): boolean {
  return cluster.length > 0 && Buffer.byteLength(cluster) <= CLUSTER_ID_BYTES_MAX;
}

export function encodeState(state: StateRecord): Buffer {
  return sealed((to) => {
    to.u64(state.hardState.term);
    to.u64(state.hardState.vote ?? 0);
    to.u64(state.hardState.commit);
    to.u64(state.writeSequence);
    encodeLink(to, state.base);
    encodeLink(to, state.last);
    to.u64(state.snapshotIndex);
  });
}

export function decodeState(bytes: Uint8Array): StateRecord {
  return unsealed(bytes, (from) => {
    const term = toTerm(from.u64());
    const vote = from.u64();
    const commit = toLogIndex(from.u64());
    return {
      hardState: { term, vote: vote === 0 ? null : toReplicaId(vote), commit },
      writeSequence: from.u64(),
      base: decodeLink(from),
      last: decodeLink(from),
      snapshotIndex: toLogIndex(from.u64()),
    };
  });
}

export function encodeSeen({ sequence, seen }: SeenRecord): Buffer {
  return sealed((to) => {
    to.u64(sequence);
    to.u16(seen.size);
    for (const [replica, { writeSequence, term }] of seen) {
      to.u64(replica);
      to.u64(writeSequence);
      to.u64(term);
    }
  });
}

export function decodeSeen(bytes: Uint8Array): SeenRecord {
  return unsealed(bytes, (from) => {
    const sequence = from.u64();
    const seen = new Map<ReplicaId, Position>();
    for (let left = from.u16(); left > 0; left--) {
      seen.set(decodeReplica(from), { writeSequence: from.u64(), term: toTerm(from.u64()) });
    }
    return { sequence, seen };
  });
}

export function encodeSnapshotRecord(record: SnapshotRecord): Buffer {
  return sealed((to) => {
    encodeEntryId(to, record.last);
    encodeConfiguration(to, record.configuration);
    to.u64(record.generation);
    to.u32(record.length);
    to.raw(record.sha256);
  });
}

export function decodeSnapshotRecord(bytes: Uint8Array): SnapshotRecord {
  return unsealed(bytes, (from) => {
    const last = decodeEntryId(from);
    if (last.index === 0) throw new DecodeError('a snapshot of nothing');
    const configuration = decodeConfiguration(from);
    const generation = from.u64();
    const length = from.u32();
    if (length > MAX_SNAPSHOT_BYTES) throw new DecodeError(`a snapshot of ${length} bytes`);
    return { last, configuration, generation, length, sha256: from.copy(32) };
  });
}

/** Also returns the link that the next entry continues. */
export function encodeLogRecord(previous: Link, entry: Entry): { bytes: Buffer; link: Link } {
  const to = new ByteWriter(LOG_BODY_OFFSET + 8 + encodedEntryBytes(entry));
  to.u32(0);
  to.u8(FORMAT_VERSION);
  to.u32(0);
  to.u64(previous.term);
  encodeEntry(to, entry);
  const bytes = to.finish();
  const chain = crc32(bytes.subarray(LOG_BODY_OFFSET), previous.chain);
  bytes.writeUInt32BE(chain, LOG_BODY_OFFSET - 4);
  return { bytes: seal(bytes), link: { term: entry.term, index: entry.index, chain } };
}

/** Verifies that the record continues `previous`. */
export function decodeLogRecord(previous: Link, bytes: Uint8Array): { entry: Entry; link: Link } {
  return unsealed(bytes, (from) => {
    const chain = from.u32();
    const body = from.raw(from.remaining);
    const reader = new ByteReader(body);
    const previousTerm = reader.u64();
    const entry = decodeEntry(reader);
    reader.end();
    const follows =
      entry.index === previous.index + 1 &&
      previousTerm === previous.term &&
      entry.term >= previous.term &&
      chain === crc32(body, previous.chain);
    if (!follows)
      throw new DecodeError(`it does not follow entry ${previous.index} of term ${previous.term}`);
    return { entry, link: { term: entry.term, index: entry.index, chain } };
  });
}

/** Checksum and version before what `write` writes. */
export function sealed(write: (to: ByteWriter) => void): Buffer {
  const to = new ByteWriter();
  to.u32(0);
  to.u8(FORMAT_VERSION);
  write(to);
  return seal(to.finish());
}

function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32(bytes.subarray(4)));
  return bytes;
}

/** Reads what `sealed` made. */
export function unsealed<T>(bytes: Uint8Array, read: (from: ByteReader) => T): T {
  const from = new ByteReader(bytes);
  if (from.u32() !== crc32(bytes.subarray(4))) throw new DecodeError('its checksum is wrong');
  const version = from.u8();
  if (version !== FORMAT_VERSION) throw new UnknownFormatError(`format version ${version} is not known`);
  const value = read(from);
  from.end();
  return value;
}

export function decodeReplica(from: ByteReader): ReplicaId {
  const id = from.u64();
  if (id === 0) throw new DecodeError('replica id 0');
  return toReplicaId(id);
}

function encodeLink(to: ByteWriter, link: Link): void {
  encodeEntryId(to, link);
  to.u32(link.chain);
}

function decodeLink(from: ByteReader): Link {
  const { term, index } = decodeEntryId(from);
  return { term, index, chain: from.u32() };
}
