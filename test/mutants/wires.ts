/**
 * What a network, or a leader written by somebody else, may do to messages and a correct replica must bear: faults that
 * the simulator has no kind for. Each run gets a new one.
 */
import type { AppendRequest, Message } from '../../raft/core/messages.ts';
import type { Entry, EntryId } from '../../raft/core/types.ts';
import type { Tampering } from '../../raft/sim/replica.ts';

export type Wire = 'overlapping' | 'garbling' | 'replaying';

export const WIRES: Readonly<Record<Wire, () => Tampering>> = { overlapping, garbling, replaying };

/**
 * Before each append comes another one of the same leader with the one entry before it, as from a leader that goes back
 * one by one. It is as true as the append itself: logs that share an entry share what is before it.
 */
function overlapping(): Tampering {
  const seen = new Map<string, { readonly entry: Entry; readonly prev: EntryId }>();
  const key = ({ index, term }: EntryId): string => `${index}@${term}`;
  const note = ({ prev: first, entries }: AppendRequest): void => {
    let prev = first;
    for (const entry of entries) {
      seen.set(key(entry), { entry, prev });
      prev = entry;
    }
  };
  return {
    received: (message): readonly Message[] => {
      if (message.kind !== 'append-request') return [message];
      note(message);
      const before = seen.get(key(message.prev));
      if (before === undefined) return [message];
      return [{ ...message, prev: before.prev, entries: [before.entry] }, message];
    },
  };
}

/** One chunk of a snapshot in three arrives with a byte changed. */
function garbling(): Tampering {
  let chunks = 0;
  return {
    received: (message): readonly Message[] => {
      if (message.kind !== 'snapshot-chunk' || chunks++ % 3 !== 0) return [message];
      return [{ ...message, data: message.data.map((byte, i) => (i === 0 ? byte ^ 1 : byte)) }];
    },
  };
}

/** With each message the newest earlier heartbeat answers to its receiver arrive once more. */
function replaying(): Tampering {
  const answers = new Map<string, Message>();
  return {
    received: (message): readonly Message[] => {
      const again = [...answers.values()].filter(({ to }) => to === message.to);
      if (message.kind === 'heartbeat-response') answers.set(`${message.from}>${message.to}`, message);
      return [...again, message];
    },
  };
}
