/**
 * Raft paper, section 8: client interaction, with the read index of the thesis (6.4). Each test quotes the sentence it
 * holds the core to.
 */
import { describe, expect, test } from 'vitest';
import type { ReadOutcome } from '../../raft/core/effects.ts';
import { toLogIndex } from '../../raft/core/types.ts';
import { diskOf, Network } from '../unit/raft/core/network.ts';
import { at, Solo, THREE } from '../unit/raft/core/solo.ts';

const i = toLogIndex;

/** What has become of the reads, without carrying out anything else. */
function readsOf(leader: Solo): readonly ReadOutcome[] {
  const { reads, send } = leader.core.takeEffects();
  leader.sent.push(...send);
  return reads;
}
const answer = (leader: Solo, from: number, sequence: number): void =>
  leader.core.step(
    {
      kind: 'heartbeat-response',
      from: THREE.voters[from - 1] ?? leader.core.status.id,
      to: leader.core.status.id,
      term: leader.core.status.term,
      sequence,
      lastIndex: i(2),
    },
    leader.now,
  );
/** Of three, with its no-op committed and its first heartbeat round answered by both others. */
function settled(): Solo {
  const leader = Solo.leader();
  for (const from of [2, 3]) {
    leader.receive({ kind: 'append-accepted', from, term: 2, match: i(2) });
    leader.receive({ kind: 'heartbeat-response', from, term: 2, sequence: 1, lastIndex: i(2) });
  }
  leader.forget();
  return leader;
}

// "If the client's first choice is not the leader, that server will reject the client's request and supply information
// about the most recent leader it has heard from."
test('who does not lead refuses reads and writes and names the leader', () => {
  const solo = new Solo();
  solo.receive({ kind: 'heartbeat-request', from: 2, term: 1, commit: i(1), sequence: 1 });
  expect(solo.propose('x')).toEqual({ kind: 'not-leader', leader: 2 });
  expect(solo.core.readIndex(solo.now)).toEqual({ kind: 'not-leader', leader: 2 });
});

// "Raft handles this by having each leader commit a blank no-op entry into the log at the start of its term."
test('a new leader commits what earlier terms left without waiting for a command', () => {
  const network = new Network();
  for (const n of [1, 2, 3]) network.add(n, diskOf([1, 1, 1], THREE));
  const leader = network.elect();
  expect(network.status(leader)).toMatchObject({ commit: 4, last: at(2, 4) });
  expect(network.node(leader).applied.at(-1)).toBe('4:noop@2');
});

// "... a leader must have the latest information on which entries are committed ... at the start of its term, it may not
// know which those are. To find out, it needs to commit an entry from its term."
test('a read waits until an entry of the term is committed', () => {
  const leader = Solo.leader();
  expect(leader.core.readIndex(leader.now)).toMatchObject({ kind: 'pending' });
  for (const from of [2, 3]) answer(leader, from, 1);
  expect(readsOf(leader)).toEqual([]);
  leader.receive({ kind: 'append-accepted', from: 2, term: 2, match: i(2) });
  const [round] = leader.of('heartbeat-request').slice(-1);
  answer(leader, 2, round?.sequence ?? 0);
  expect(readsOf(leader)).toMatchObject([{ kind: 'confirmed', index: 2 }]);
});

// "Second, a leader must check whether it has been deposed before processing a read-only request ... Raft handles this by
// having the leader exchange heartbeat messages with a majority of the cluster before responding to read-only requests."
describe('a read is confirmed', () => {
  test('by a majority that answers a round sent after it was asked for', () => {
    const leader = settled();
    leader.core.readIndex(leader.now);
    expect(readsOf(leader)).toEqual([]);
    expect(leader.of('heartbeat-request').map((m) => [m.to, m.sequence])).toEqual([
      [2, 2],
      [3, 2],
    ]);
    answer(leader, 3, 2);
    expect(readsOf(leader)).toMatchObject([{ kind: 'confirmed', index: 2 }]);
  });

  test('by no answer to an earlier round, however often', () => {
    const leader = settled();
    leader.core.readIndex(leader.now);
    for (const from of [2, 3, 2, 3]) answer(leader, from, 1);
    expect(readsOf(leader)).toEqual([]);
  });

  test('at the commit index of when it was asked for, or later', () => {
    const leader = settled();
    leader.propose('x');
    leader.core.readIndex(leader.now);
    leader.core.takeEffects();
    leader.receive({ kind: 'append-accepted', from: 2, term: 2, match: i(3) });
    answer(leader, 3, 2);
    const [read] = readsOf(leader);
    expect(read?.kind === 'confirmed' && read.index >= 2).toBe(true);
  });

  test('not by a leader that is deposed: it is lost', () => {
    const leader = settled();
    leader.core.readIndex(leader.now);
    leader.core.takeEffects();
    answer(leader, 2, 1);
    leader.core.step(
      {
        kind: 'heartbeat-request',
        from: THREE.voters[1] ?? leader.core.status.id,
        to: leader.core.status.id,
        term: at(3, 0).term,
        commit: i(2),
        sequence: 1,
      },
      leader.now,
    );
    expect(readsOf(leader)).toMatchObject([{ kind: 'lost' }]);
  });
});
