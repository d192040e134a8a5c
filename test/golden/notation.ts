/**
 * How scenario files write things. Read and written alike:
 *
 *     3@2                     the entry at index 3, of term 2
 *     {1 2 3}                 a configuration: its voters
 *     {1 2 4 / 1 2 3 + 5}     joint: voters / outgoing voters + learners
 *
 * Messages are called by their kind in raft/core/messages.ts.
 */
import type { Message } from '../../raft/core/messages.ts';
import {
  assertNever,
  type Configuration,
  type Entry,
  type EntryId,
  type HardState,
  type ReplicaId,
  type SnapshotMeta,
  toReplicaId,
} from '../../raft/core/types.ts';

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** null when `text` is not one. */
export function parseConfiguration(text: string): Configuration | null {
  const [, voters, outgoing, learners] = /^\{([\d ]+)(?:\/([\d ]+))?(?:\+([\d ]+))?\}$/.exec(text) ?? [];
  if (voters === undefined) return null;
  return { voters: parseIds(voters), outgoing: parseIds(outgoing), learners: parseIds(learners) };
}

function parseIds(text = ''): ReplicaId[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => toReplicaId(Number(word)));
}

export function showConfiguration({ voters, outgoing, learners }: Configuration): string {
  const joint = outgoing.length > 0 ? ` / ${outgoing.join(' ')}` : '';
  const listening = learners.length > 0 ? ` + ${learners.join(' ')}` : '';
  return `{${voters.join(' ')}${joint}${listening}}`;
}

export function showId({ term, index }: EntryId): string {
  return `${index}@${term}`;
}

export function showEntry(entry: Entry): string {
  switch (entry.kind) {
    case 'noop':
      return `${showId(entry)} no-op`;
    case 'command':
      return `${showId(entry)} ${textOf(entry.payload)}`;
    case 'configuration':
      return `${showId(entry)} ${showConfiguration(entry.configuration)}`;
    default:
      return assertNever(entry);
  }
}

export function showEntries(entries: readonly Entry[]): string {
  return `[${entries.map(showEntry).join(', ')}]`;
}

export function showHardState({ term, vote, commit }: HardState): string {
  return `term ${term} vote ${vote ?? 'none'} commit ${commit}`;
}

export function showSnapshotMeta({ last, configuration }: SnapshotMeta): string {
  return `${showId(last)} ${showConfiguration(configuration)}`;
}

/** Without sender and receiver. */
export function showMessage(message: Message): string {
  return `${message.kind} t${message.term} ${details(message)}`.trimEnd();
}

function details(message: Message): string {
  switch (message.kind) {
    case 'pre-vote-request':
      return `for t${message.nextTerm} last ${showId(message.last)}`;
    case 'pre-vote-response':
      return `for t${message.nextTerm} ${message.granted ? 'yes' : 'no'}`;
    case 'vote-request':
      return `last ${showId(message.last)}${message.transfer ? ' by transfer' : ''}`;
    case 'vote-response':
      return message.granted ? 'yes' : 'no';
    case 'append-request':
      return `after ${showId(message.prev)} ${showEntries(message.entries)} commit ${message.commit}`;
    case 'append-accepted':
      return `up to ${message.match}`;
    case 'append-rejected':
      return `after ${message.rejected} hint ${showId(message.hint)}`;
    case 'heartbeat-request':
      return `#${message.sequence} commit ${message.commit}`;
    case 'heartbeat-response':
      return `#${message.sequence} last ${message.lastIndex}`;
    case 'snapshot-chunk': {
      const { meta, offset, data, size } = message;
      return `${showSnapshotMeta(meta)} bytes ${offset}..${offset + data.length} of ${size}`;
    }
    case 'snapshot-received':
      return `${showId(message.last)} bytes ${message.received}`;
    case 'timeout-now':
      return '';
    default:
      return assertNever(message);
  }
}
