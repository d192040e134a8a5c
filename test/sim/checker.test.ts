/**
 * The checkers are checked: each test plants one mistake, from outside of the production code, by changing what goes
 * into a core or what comes out of it, and expects the rule that it breaks to be named within a few seeds. Without a
 * mistake the same seeds are clean.
 */
import { describe, expect, it } from 'vitest';
import type { Persist } from '../../raft/core/effects.ts';
import type { Message } from '../../raft/core/messages.ts';
import type { RaftStatus } from '../../raft/core/raft.ts';
import {
  type Entry,
  type ReplicaId,
  type Term,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import { RegisterMachine } from '../../raft/sim/register-machine.ts';
import type { Tampering } from '../../raft/sim/replica.ts';
import { type SimulationOptions, simulate } from '../../raft/sim/run.ts';

const SEEDS = 60;
const TICKS = 400;

/** The first violation of one of `rules` within the seeds, else the last other one; by name. */
function violation(options: Partial<SimulationOptions>, rules: readonly string[] = []): string | null {
  let other: string | null = null;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const found = simulate({ seed, ticks: TICKS, ...options }).violation;
    if (found !== null && rules.includes(found.rule)) return found.rule;
    other = found?.rule ?? other;
  }
  return other;
}

/** A follower or leader that hands something else to its disk. */
function tamperPersist(change: (persist: Persist, status: RaftStatus) => Persist): Tampering {
  return {
    effects: (effects, status) => {
      return effects.persist === null ? effects : { ...effects, persist: change(effects.persist, status) };
    },
  };
}

function tamperSent(change: (message: Message, status: RaftStatus) => Message): Tampering {
  return {
    effects: (effects, status) => ({ ...effects, send: effects.send.map((one) => change(one, status)) }),
  };
}

/** Lets messages of one kind leave before the write that they promise. */
function sendEarly(kind: Message['kind']): Tampering {
  return {
    effects: (effects) => {
      const { persist } = effects;
      if (persist === null) return effects;
      const early = persist.thenSend.filter((message) => message.kind === kind);
      const thenSend = persist.thenSend.filter((message) => message.kind !== kind);
      return { ...effects, send: [...effects.send, ...early], persist: { ...persist, thenSend } };
    },
  };
}

/** The same message as if others had sent it too. */
function alsoFrom(message: Message, others: readonly number[]): Message[] {
  const forged = others
    .map(toReplicaId)
    .filter((id) => id !== message.from && id !== message.to)
    .map((from) => ({ ...message, from }));
  return [message, ...forged];
}

function withConfiguration(
  entry: Entry,
  change: (voters: readonly ReplicaId[]) => Partial<{ outgoing: readonly ReplicaId[] }>,
): Entry {
  if (entry.kind !== 'configuration') return entry;
  const { configuration } = entry;
  return { ...entry, configuration: { ...configuration, ...change(configuration.voters) } };
}

describe('a mistake is caught:', () => {
  const mistakes: [name: string, rules: readonly string[], make: () => Partial<SimulationOptions>][] = [
    [
      'an acknowledgement leaves before the write is durable',
      ['durable before sent'],
      () => ({ tampering: sendEarly('append-accepted') }),
    ],
    [
      'a vote leaves before it is durable',
      ['durable before sent'],
      () => ({ tampering: sendEarly('vote-response') }),
    ],
    [
      'a replica forgets its vote in a crash and votes twice',
      ['nothing regresses', 'one vote a term', 'election safety'],
      () => ({
        swarm: { faults: ['crash-all'], faultEveryMsMax: 300, faultLastsMsMax: 10 },
        tampering: {
          recovered: (_id, recovered) => ({
            ...recovered,
            hardState: { ...recovered.hardState, vote: null },
          }),
        },
      }),
    ],
    [
      'a vote counts for several voters',
      ['elected by a quorum'],
      () => ({
        tampering: {
          received: (message) =>
            message.kind === 'vote-response' ? alsoFrom(message, [1, 2, 3, 4, 5, 6, 7]) : [message],
        },
      }),
    ],
    [
      'a leader commits what a minority holds',
      ['commit on a durable quorum', 'a heartbeat commits what its receiver holds'],
      () => ({
        tampering: {
          received: (message) =>
            message.kind === 'append-accepted' ? alsoFrom(message, [1, 2, 3, 4, 5, 6, 7]) : [message],
        },
      }),
    ],
    [
      'a read is confirmed by a minority',
      ['a read misses nothing'],
      () => ({
        swarm: {
          faults: ['partition-halves'],
          faultEveryMsMax: 500,
          faultLastsMsMax: 3_000,
          proposeEveryMsMax: 10,
          readEveryMsMax: 10,
        },
        tampering: {
          received: (message) =>
            message.kind === 'heartbeat-response' ? alsoFrom(message, [1, 2, 3, 4, 5, 6, 7]) : [message],
        },
      }),
    ],
    [
      'a read is answered with what was committed long ago',
      ['a read misses nothing'],
      () => ({
        tampering: {
          effects: (effects) => ({
            ...effects,
            reads: effects.reads.map((read) =>
              read.kind === 'confirmed' ? { ...read, index: toLogIndex(Math.max(0, read.index - 9)) } : read,
            ),
          }),
        },
      }),
    ],
    [
      'the acknowledgement of a learner counts',
      ['commit on a durable quorum', 'a heartbeat commits what its receiver holds'],
      () => {
        const learners = new Set<ReplicaId>();
        const voters = new Set<ReplicaId>();
        return {
          swarm: { faults: ['membership', 'membership', 'partition-halves'] },
          tampering: {
            effects: (effects, status) => {
              if (status.role !== 'leader') return effects;
              learners.clear();
              voters.clear();
              for (const id of status.configuration.learners) learners.add(id);
              for (const id of status.configuration.voters) voters.add(id);
              return effects;
            },
            received: (message) =>
              message.kind === 'append-accepted' && learners.has(message.from)
                ? alsoFrom(message, [...voters])
                : [message],
          },
        };
      },
    ],
    [
      'a follower commits the stale tail of its log',
      ['state machine safety', 'only a leader commits first'],
      () => {
        const announced = new Map<Term, number>();
        return {
          tampering: {
            received: (message) => {
              if (message.kind === 'append-request') {
                announced.set(message.term, Math.max(message.commit, announced.get(message.term) ?? 0));
              }
              if (message.kind !== 'heartbeat-request') return [message];
              // Every replica takes what it has, up to what the leader has committed, for committed.
              const commit = toLogIndex(announced.get(message.term) ?? message.commit);
              return Array.from({ length: 20 }, (_, back) => Math.max(0, commit - back)).map((upTo) => {
                return { ...message, commit: toLogIndex(upTo) };
              });
            },
          },
        };
      },
    ],
    [
      'a heartbeat announces more than its receiver holds',
      ['a heartbeat commits what its receiver holds'],
      () => ({
        tampering: tamperSent((message, { commit }) =>
          message.kind === 'heartbeat-request' ? { ...message, commit } : message,
        ),
      }),
    ],
    [
      'an old append removes entries that are committed',
      ['committed entries stay'],
      () => ({
        tampering: tamperPersist((persist, { role, commit }) =>
          role === 'follower' && persist.entries.length > 0 && commit > 30
            ? { ...persist, truncateFrom: toLogIndex(commit - 20) }
            : persist,
        ),
      }),
    ],
    [
      'a leader removes an entry of its own log',
      ['leader append-only'],
      () => ({
        tampering: tamperPersist((persist, { role, last, commit }) =>
          role === 'leader' && last.index - commit > 2 && persist.entries.length === 0
            ? { ...persist, truncateFrom: last.index }
            : persist,
        ),
      }),
    ],
    [
      'a leader puts another entry at an index that it already used',
      ['log matching'],
      () => ({
        tampering: tamperPersist((persist, { id, role }) => ({
          ...persist,
          entries: persist.entries.map((entry) =>
            entry.kind === 'command' && role === 'follower' && id === 2
              ? { ...entry, payload: Buffer.from('other') }
              : entry,
          ),
        })),
      }),
    ],
    [
      'the term on the disk goes back',
      ['nothing regresses'],
      () => ({
        tampering: tamperPersist((persist) => {
          const { hardState } = persist;
          if (hardState.term < 4) return persist;
          return { ...persist, hardState: { ...hardState, term: toTerm(hardState.term - 2) } };
        }),
      }),
    ],
    [
      'an entry is not applied',
      ['every entry is applied once and in order'],
      () => ({
        tampering: {
          effects: (effects, { commit }) =>
            commit % 50 === 0 ? { ...effects, apply: effects.apply.slice(1) } : effects,
        },
      }),
    ],
    [
      'another command is applied',
      ['state machine safety'],
      () => ({
        tampering: {
          effects: (effects, { id }) => ({
            ...effects,
            apply: effects.apply.map((entry) =>
              entry.kind === 'command' && id === 1 ? { ...entry, payload: Buffer.from('other') } : entry,
            ),
          }),
        },
      }),
    ],
    [
      'a snapshot carries another configuration',
      ['snapshot carries its configuration', 'configuration follows the log'],
      () => ({
        tampering: {
          received: (message) => {
            if (message.kind !== 'snapshot-chunk') return [message];
            const { meta } = message;
            const learners = [toReplicaId(99)];
            const configuration = { ...meta.configuration, learners };
            return [{ ...message, meta: { ...meta, configuration } }];
          },
        },
      }),
    ],
    [
      'a membership change skips the joint phase',
      ['joint consensus'],
      () => ({
        swarm: { faults: ['membership'] },
        tampering: tamperPersist((persist) => ({
          ...persist,
          entries: persist.entries.map((entry) => withConfiguration(entry, () => ({ outgoing: [] }))),
        })),
      }),
    ],
    [
      'a replica acts on a configuration that is not in its log',
      ['configuration follows the log'],
      () => ({
        swarm: { faults: ['membership'] },
        tampering: tamperPersist((persist, { role }) => ({
          ...persist,
          entries: persist.entries.map((entry) =>
            entry.kind === 'configuration' && role === 'leader'
              ? { ...entry, configuration: { ...entry.configuration, learners: [toReplicaId(99)] } }
              : entry,
          ),
        })),
      }),
    ],
    [
      'a leader sends entries that are not its own',
      ['leaders send their log'],
      () => ({
        tampering: tamperSent((message) => {
          if (message.kind !== 'append-request' || message.entries.length < 2) return message;
          return { ...message, entries: message.entries.slice(1) };
        }),
      }),
    ],
    [
      'a replica that does not lead sends heartbeats',
      ['only leaders lead'],
      () => ({
        tampering: {
          effects: (effects, { id, term, role, leader }) => {
            if (role !== 'follower' || leader === null) return effects;
            const commit = toLogIndex(0);
            const heartbeat = {
              kind: 'heartbeat-request',
              from: id,
              to: leader,
              term,
              commit,
              sequence: 1,
            } as const;
            return { ...effects, send: [...effects.send, heartbeat] };
          },
        },
      }),
    ],
    [
      'one replica never hears the leader again',
      ['one leader within five election timeouts', 'a new write commits and reaches everybody'],
      () => ({
        tampering: {
          received: (message) => (message.to === 1 && message.kind === 'append-request' ? [] : [message]),
        },
      }),
    ],
    [
      'a state machine is not deterministic',
      ['equal state'],
      () => {
        let instances = 0;
        const machine = (): StateMachine<unknown> => {
          const inner = new RegisterMachine();
          const salt = instances++ % 2;
          return {
            apply: (entry) => inner.apply({ ...entry, payload: Buffer.from([salt, ...entry.payload]) }),
            snapshot: () => inner.snapshot(),
            restore: (data) => inner.restore(data),
          };
        };
        return { machine };
      },
    ],
    [
      'a state machine forgets a part of its state when it restores',
      ['equal state'],
      () => ({
        machine: () => {
          let inner = new RegisterMachine();
          return {
            apply: (entry) => inner.apply(entry),
            snapshot: () => inner.snapshot(),
            restore: () => {
              inner = new RegisterMachine();
            },
          };
        },
      }),
    ],
  ];

  it.each(mistakes)('%s', (_name, rules, make) => {
    expect(rules).toContain(violation(make(), rules));
  });
});

it('without a mistake the same seeds are clean', () => {
  expect(violation({})).toBeNull();
});
