/**
 * Entries and configurations as bytes: the part of the format that disk records and wire messages share. Pure. The
 * version byte belongs to the record or frame around these; a change of this layout is a new version of both.
 *
 *   entry          kind u8 | term u64 | index u64 | body length u32 | body
 *   configuration  voter count u16 | outgoing count u16 | learner count u16 | replica ids u64 each
 *
 * What decodes is well formed (sorted, without duplicates, voters and learners disjoint, lengths within limits), so
 * nobody behind this file checks again. A kind that is not known is an error and never skipped.
 */
import {
  assertNever,
  type Configuration,
  type Entry,
  type EntryId,
  type ReplicaId,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../core/types.ts';
import { MAX_COMMAND_BYTES, MAX_CONFIGURATION_REPLICAS } from '../limits.ts';
import { ByteReader, type ByteWriter, DecodeError } from './bytes.ts';

const KIND = { noop: 0, command: 1, configuration: 2 } as const;

/** What an entry costs besides its body. */
export const ENTRY_HEADER_BYTES = 21;

export function encodedEntryBytes(entry: Entry): number {
  switch (entry.kind) {
    case 'noop':
      return ENTRY_HEADER_BYTES;
    case 'command':
      return ENTRY_HEADER_BYTES + entry.payload.length;
    case 'configuration':
      return ENTRY_HEADER_BYTES + configurationBytes(entry.configuration);
    default:
      return assertNever(entry);
  }
}

export function encodeEntry(to: ByteWriter, entry: Entry): void {
  to.u8(KIND[entry.kind]);
  encodeEntryId(to, entry);
  to.u32(encodedEntryBytes(entry) - ENTRY_HEADER_BYTES);
  if (entry.kind === 'command') to.raw(entry.payload);
  if (entry.kind === 'configuration') encodeConfiguration(to, entry.configuration);
}

/** The payload is a copy, so that one entry kept does not keep the whole input alive. */
export function decodeEntry(from: ByteReader): Entry {
  const kind = from.u8();
  const { term, index } = decodeEntryId(from);
  if (term === 0 || index === 0) throw new DecodeError('an entry has term or index 0');
  const length = from.u32();
  switch (kind) {
    case KIND.noop:
      if (length !== 0) throw new DecodeError('a no-op entry has a body');
      return { kind: 'noop', term, index };
    case KIND.command:
      if (length > MAX_COMMAND_BYTES) throw new DecodeError(`a command of ${length} bytes is too large`);
      return { kind: 'command', term, index, payload: from.copy(length) };
    case KIND.configuration: {
      const body = new ByteReader(from.raw(length));
      const configuration = decodeConfiguration(body);
      body.end();
      return { kind: 'configuration', term, index, configuration };
    }
    default:
      throw new DecodeError(`entry kind ${kind} is not known`);
  }
}

export function encodeEntryId(to: ByteWriter, id: EntryId): void {
  to.u64(id.term);
  to.u64(id.index);
}

/** Either both numbers are 0 (before the first entry) or neither is. */
export function decodeEntryId(from: ByteReader): EntryId {
  const term = toTerm(from.u64());
  const index = toLogIndex(from.u64());
  if ((term === 0) !== (index === 0)) throw new DecodeError('an entry id has a term without an index');
  return { term, index };
}

export function configurationBytes(configuration: Configuration): number {
  const { voters, outgoing, learners } = configuration;
  return 6 + 8 * (voters.length + outgoing.length + learners.length);
}

export function encodeConfiguration(to: ByteWriter, configuration: Configuration): void {
  const { voters, outgoing, learners } = configuration;
  for (const list of [voters, outgoing, learners]) to.u16(list.length);
  for (const list of [voters, outgoing, learners]) for (const id of list) to.u64(id);
}

export function decodeConfiguration(from: ByteReader): Configuration {
  const counts = [from.u16(), from.u16(), from.u16()] as const;
  const total = counts[0] + counts[1] + counts[2];
  if (total > MAX_CONFIGURATION_REPLICAS) throw new DecodeError(`a configuration of ${total} replicas`);
  const voters = decodeReplicaIds(from, counts[0]);
  const outgoing = decodeReplicaIds(from, counts[1]);
  const learners = decodeReplicaIds(from, counts[2]);
  const voting = new Set(voters);
  if (learners.some((id) => voting.has(id))) throw new DecodeError('a replica is both voter and learner');
  if (outgoing.length > 0 && voters.length === 0)
    throw new DecodeError('a joint configuration has no voters');
  return { voters, outgoing, learners };
}

function decodeReplicaIds(from: ByteReader, count: number): ReplicaId[] {
  const ids: ReplicaId[] = [];
  let previous = 0;
  for (let i = 0; i < count; i++) {
    const id = from.u64();
    if (id <= previous) throw new DecodeError('replica ids are not in ascending order');
    ids.push(toReplicaId(id));
    previous = id;
  }
  return ids;
}
