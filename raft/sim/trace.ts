/** One line for each message: `kind from>to t<term> ...`, for reading a run and for hashing it. */
import type { Message } from '../core/messages.ts';
import { assertNever, type EntryId } from '../core/types.ts';

export function describeMessage(message: Message): string {
  return `${message.kind} ${message.from}>${message.to} t${message.term} ${details(message)}`;
}

function details(message: Message): string {
  switch (message.kind) {
    case 'pre-vote-request':
      return `next t${message.nextTerm} last ${id(message.last)}`;
    case 'pre-vote-response':
      return `next t${message.nextTerm} ${message.granted ? 'granted' : 'refused'}`;
    case 'vote-request':
      return `last ${id(message.last)}`;
    case 'vote-response':
      return message.granted ? 'granted' : 'refused';
    case 'append-request':
      return `prev ${id(message.prev)} entries ${message.entries.length} commit ${message.commit}`;
    case 'append-accepted':
      return `match ${message.match}`;
    case 'append-rejected':
      return `rejected ${message.rejected} hint ${id(message.hint)}`;
    case 'heartbeat-request':
      return `#${message.sequence} commit ${message.commit}`;
    case 'heartbeat-response':
      return `#${message.sequence} last ${message.lastIndex}`;
    case 'snapshot-chunk':
      return `last ${id(message.meta.last)} bytes ${message.offset}+${message.data.length} of ${message.size}`;
    case 'snapshot-received':
      return `last ${id(message.last)} bytes ${message.received}`;
    case 'timeout-now':
      return '';
    default:
      return assertNever(message);
  }
}

/** `index@term`. */
function id(entry: EntryId): string {
  return `${entry.index}@${entry.term}`;
}
