/**
 * Messages as bytes: fixed binary, big-endian, the same in a datagram and on a stream. Pure.
 *
 *   message  version u8 | kind u8 | from u64 | to u64 | term u64 | body
 *
 * What decodes keeps the promises that the types make in prose: the entries of an append follow `prev` one by one with
 * terms that never fall and are never beyond the sender's. Everything else is a DecodeError. Whether `from` is the one
 * who sent it is for the transport to check.
 */

import { crc32 } from 'node:zlib';
import type { Message, SnapshotChunk } from '../core/messages.ts';
import {
  assert,
  assertNever,
  type Entry,
  type EntryId,
  type LogIndex,
  type ReplicaId,
  type Term,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../core/types.ts';
import { MAX_SNAPSHOT_BYTES, SNAPSHOT_CHUNK_BYTES } from '../limits.ts';
import { ByteReader, ByteWriter, DecodeError } from '../storage/bytes.ts';
import {
  decodeConfiguration,
  decodeEntry,
  decodeEntryId,
  encodeConfiguration,
  encodedEntryBytes,
  encodeEntry,
  encodeEntryId,
} from '../storage/codec.ts';

const VERSION = 1;
/** SHA-256. */
const DIGEST_BYTES = 32;

/** The largest message without what varies in length. */
const FIXED_BYTES_MAX = 64;

const KIND = {
  'pre-vote-request': 1,
  'pre-vote-response': 2,
  'vote-request': 3,
  'vote-response': 4,
  'append-request': 5,
  'append-accepted': 6,
  'append-rejected': 7,
  'heartbeat-request': 8,
  'heartbeat-response': 9,
  'snapshot-chunk': 10,
  'snapshot-received': 11,
  'timeout-now': 12,
} as const satisfies Record<Message['kind'], number>;

export function encodeMessage(message: Message): Uint8Array {
  const to = new ByteWriter(roomFor(message));
  to.u8(VERSION);
  to.u8(KIND[message.kind]);
  to.u64(message.from);
  to.u64(message.to);
  to.u64(message.term);
  encodeBody(to, message);
  return to.finish();
}

/** Nearly exact, so that a large append is not copied again and again while it grows. */
function roomFor(message: Message): number {
  if (message.kind === 'snapshot-chunk') return roomForChunk(message);
  if (message.kind !== 'append-request') return FIXED_BYTES_MAX;
  return message.entries.reduce((bytes, entry) => bytes + encodedEntryBytes(entry), FIXED_BYTES_MAX);
}

function roomForChunk({ meta, data }: SnapshotChunk): number {
  const { voters, outgoing, learners } = meta.configuration;
  const configurationBytes = 8 * (1 + voters.length + outgoing.length + learners.length);
  return 2 * FIXED_BYTES_MAX + configurationBytes + data.length;
}

function encodeBody(to: ByteWriter, message: Message): void {
  switch (message.kind) {
    case 'pre-vote-request':
      to.u64(message.nextTerm);
      encodeEntryId(to, message.last);
      return;
    case 'pre-vote-response':
      to.u64(message.nextTerm);
      to.u8(Number(message.granted));
      return;
    case 'vote-request':
      encodeEntryId(to, message.last);
      to.u8(Number(message.transfer));
      return;
    case 'vote-response':
      to.u8(Number(message.granted));
      return;
    case 'append-request':
      encodeEntryId(to, message.prev);
      to.u64(message.commit);
      to.u32(message.entries.length);
      for (const entry of message.entries) encodeEntry(to, entry);
      return;
    case 'append-accepted':
      to.u64(message.match);
      return;
    case 'append-rejected':
      to.u64(message.rejected);
      encodeEntryId(to, message.hint);
      return;
    case 'heartbeat-request':
      to.u64(message.commit);
      to.u64(message.sequence);
      return;
    case 'heartbeat-response':
      to.u64(message.sequence);
      to.u64(message.lastIndex);
      return;
    case 'snapshot-chunk':
      encodeChunk(to, message);
      return;
    case 'snapshot-received':
      encodeEntryId(to, message.last);
      to.u64(message.received);
      return;
    case 'timeout-now':
      return;
    default:
      assertNever(message);
  }
}

/** Throws DecodeError. */
export function decodeMessage(bytes: Uint8Array): Message {
  const from = new ByteReader(bytes);
  const version = from.u8();
  if (version !== VERSION) throw new DecodeError(`message version ${version} is not known`);
  const kind = from.u8();
  const envelope = { from: decodeReplicaId(from), to: decodeReplicaId(from), term: decodeTerm(from) };
  const message = decodeBody(from, kind, envelope);
  from.end();
  return message;
}

function decodeBody(
  from: ByteReader,
  kind: number,
  envelope: { readonly from: ReplicaId; readonly to: ReplicaId; readonly term: Term },
): Message {
  switch (kind) {
    case KIND['pre-vote-request']:
      return { kind: 'pre-vote-request', ...envelope, nextTerm: decodeTerm(from), last: decodeEntryId(from) };
    case KIND['pre-vote-response']:
      return {
        kind: 'pre-vote-response',
        ...envelope,
        nextTerm: decodeTerm(from),
        granted: decodeFlag(from),
      };
    case KIND['vote-request']:
      return { kind: 'vote-request', ...envelope, last: decodeEntryId(from), transfer: decodeFlag(from) };
    case KIND['vote-response']:
      return { kind: 'vote-response', ...envelope, granted: decodeFlag(from) };
    case KIND['append-request']: {
      const prev = decodeEntryId(from);
      const commit = decodeIndex(from);
      return {
        kind: 'append-request',
        ...envelope,
        prev,
        commit,
        entries: decodeEntries(from, prev, envelope.term),
      };
    }
    case KIND['append-accepted']:
      return { kind: 'append-accepted', ...envelope, match: decodeIndex(from) };
    case KIND['append-rejected']:
      return { kind: 'append-rejected', ...envelope, rejected: decodeIndex(from), hint: decodeEntryId(from) };
    case KIND['heartbeat-request']:
      return { kind: 'heartbeat-request', ...envelope, commit: decodeIndex(from), sequence: from.u64() };
    case KIND['heartbeat-response']:
      return { kind: 'heartbeat-response', ...envelope, sequence: from.u64(), lastIndex: decodeIndex(from) };
    case KIND['snapshot-chunk']:
      return { kind: 'snapshot-chunk', ...envelope, ...decodeChunk(from) };
    case KIND['snapshot-received']:
      return {
        kind: 'snapshot-received',
        ...envelope,
        last: decodeEntryId(from),
        received: decodeSnapshotBytes(from),
      };
    case KIND['timeout-now']:
      return { kind: 'timeout-now', ...envelope };
    default:
      throw new DecodeError(`message kind ${kind} is not known`);
  }
}

function decodeEntries(from: ByteReader, prev: EntryId, senderTerm: Term): Entry[] {
  const count = from.u32();
  const entries: Entry[] = [];
  let last = prev;
  for (let i = 0; i < count; i++) {
    const entry = decodeEntry(from);
    if (entry.index !== last.index + 1) throw new DecodeError(`entry ${entry.index} follows ${last.index}`);
    if (entry.term < last.term || entry.term > senderTerm)
      throw new DecodeError(`entry of term ${entry.term} after ${last.term} from a sender in ${senderTerm}`);
    entries.push(entry);
    last = entry;
  }
  return entries;
}

function encodeChunk(to: ByteWriter, { meta, size, digest, offset, data }: SnapshotChunk): void {
  assert(data.length <= SNAPSHOT_CHUNK_BYTES, `a chunk of ${data.length} bytes is more than anybody accepts`);
  encodeEntryId(to, meta.last);
  encodeConfiguration(to, meta.configuration);
  to.u64(size);
  to.raw(digest);
  to.u64(offset);
  to.u32(data.length);
  to.u32(crc32(data));
  to.raw(data);
}

function decodeChunk(from: ByteReader): Pick<SnapshotChunk, 'meta' | 'size' | 'digest' | 'offset' | 'data'> {
  const meta = { last: decodeEntryId(from), configuration: decodeConfiguration(from) };
  const size = decodeSnapshotBytes(from);
  const digest = from.copy(DIGEST_BYTES);
  const offset = decodeSnapshotBytes(from);
  const length = from.u32();
  if (length > SNAPSHOT_CHUNK_BYTES) throw new DecodeError(`a chunk of ${length} bytes`);
  if (length === 0 && size > 0) throw new DecodeError('a chunk without data');
  if (offset + length > size) throw new DecodeError('a chunk beyond the end of its snapshot');
  const checksum = from.u32();
  const data = from.copy(length);
  // The digest of the whole would show it as well, but only after everything was sent, and not where.
  if (crc32(data) !== checksum) throw new DecodeError(`the chunk at ${offset} does not match its checksum`);
  return { meta, size, digest, offset, data };
}

/** A size within a snapshot. */
function decodeSnapshotBytes(from: ByteReader): number {
  const bytes = from.u64();
  if (bytes > MAX_SNAPSHOT_BYTES) throw new DecodeError(`a snapshot of ${bytes} bytes`);
  return bytes;
}

function decodeReplicaId(from: ByteReader): ReplicaId {
  const id = from.u64();
  if (id === 0) throw new DecodeError('replica id 0');
  return toReplicaId(id);
}

function decodeTerm(from: ByteReader): Term {
  return toTerm(from.u64());
}

function decodeIndex(from: ByteReader): LogIndex {
  return toLogIndex(from.u64());
}

function decodeFlag(from: ByteReader): boolean {
  const flag = from.u8();
  if (flag > 1) throw new DecodeError(`a flag of ${flag}`);
  return flag === 1;
}
