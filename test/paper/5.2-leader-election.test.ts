/**
 * Raft paper, section 5.2: leader election, with the pre-vote of the thesis (9.6) before it. Each test quotes the sentence
 * it holds the core to.
 */
import { describe, expect, test } from 'vitest';
import { toLogIndex, toTerm } from '../../raft/core/types.ts';
import { configuration, diskOf, Network } from '../unit/raft/core/network.ts';
import { at, Solo, THREE } from '../unit/raft/core/solo.ts';

const FIVE = configuration([1, 2, 3, 4, 5]);
const heartbeat = { kind: 'heartbeat-request', commit: toLogIndex(0), sequence: 1 } as const;

// "When servers start up, they begin as followers."
test('a replica starts as a follower, also one that was leader', () => {
  expect(new Solo().core.status).toMatchObject({ role: 'follower', leader: null });
  const leader = Solo.leader();
  const { hardState } = leader.persisted.at(-1) ?? leader.disk;
  const restarted = new Solo({ ...leader.disk, hardState });
  expect(restarted.core.status).toMatchObject({ role: 'follower', leader: null, term: hardState.term });
});

// "Leaders send periodic heartbeats to all followers in order to maintain their authority."
test('a leader speaks to every follower in every heartbeat interval', () => {
  const leader = Solo.leader();
  for (let sequence = 2; sequence < 6; sequence++) {
    leader.forget();
    leader.advance(250);
    expect(leader.of('heartbeat-request').map((m) => [m.to, m.sequence])).toEqual([
      [2, sequence],
      [3, sequence],
    ]);
  }
});

// "If a follower receives no communication over a period of time called the election timeout, then it assumes there is
// no viable leader and begins an election to choose a new leader."
test('a follower that hears nothing asks for pre-votes when its timeout ends, and every message restarts it', () => {
  const solo = new Solo();
  expect(solo.core.deadline()).toBe(1_500);
  solo.advance(1_400);
  solo.receive({ ...heartbeat, from: 2, term: 1 });
  expect(solo.core.deadline()).toBe(2_900);
  solo.forget();
  solo.advance(1_499);
  expect(solo.sent).toEqual([]);
  solo.advance(1);
  expect(solo.of('pre-vote-request').map((m) => [m.to, m.term, m.nextTerm])).toEqual([
    [2, 1, 2],
    [3, 1, 2],
  ]);
  expect(solo.core.status).toMatchObject({ role: 'candidate', term: 1 });
});

// Figure 2: "If election timeout elapses without receiving AppendEntries RPC from current leader or granting vote to
// candidate: convert to candidate."
test('a granted vote restarts the timeout, a refused one and a pre-vote do not', () => {
  const solo = new Solo();
  solo.advance(1_000);
  solo.receive({ kind: 'pre-vote-request', from: 2, term: 1, nextTerm: toTerm(2), last: at(1, 1) });
  solo.receive({ kind: 'vote-request', from: 2, term: 1, last: at(0, 0), transfer: false });
  expect(solo.core.deadline()).toBe(1_500);
  solo.receive({ kind: 'vote-request', from: 2, term: 2, last: at(1, 1), transfer: false });
  expect(solo.core.deadline()).toBe(2_500);
});

// "To begin an election, a follower increments its current term and transitions to candidate state. It then votes for
// itself and issues RequestVote RPCs in parallel to each of the other servers in the cluster."
test('a candidate increments its term, votes for itself, and asks everybody, once that is durable', () => {
  const solo = new Solo();
  solo.holdsDisk = true;
  solo.campaign();
  expect(solo.core.status).toMatchObject({ role: 'candidate', term: 2 });
  expect(solo.of('vote-request')).toEqual([]);
  expect(solo.held.at(-1)?.hardState).toMatchObject({ term: 2, vote: 1 });
  solo.release();
  expect(solo.of('vote-request').map((m) => [m.to, m.term, m.last])).toEqual([
    [2, 2, at(1, 1)],
    [3, 2, at(1, 1)],
  ]);
});

// "A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the same
// term."
describe('of five, a candidate', () => {
  function candidate(): Solo {
    const solo = new Solo(diskOf([1], FIVE));
    solo.campaign();
    return solo;
  }
  const answer = (from: number, granted: boolean, term = 2) =>
    ({ kind: 'vote-response', from, term, granted }) as const;

  test('wins with two votes beside its own', () => {
    const solo = candidate();
    solo.receive(answer(2, true));
    expect(solo.core.status.role).toBe('candidate');
    solo.receive(answer(3, true));
    expect(solo.core.status).toMatchObject({ role: 'leader', leader: 1, term: 2 });
  });

  test('counts a doubled answer once', () => {
    const solo = candidate();
    for (let n = 0; n < 5; n++) solo.receive(answer(2, true));
    expect(solo.core.status.role).toBe('candidate');
  });

  test('takes the first answer of a sender', () => {
    const solo = candidate();
    for (const from of [2, 3, 4]) {
      solo.receive(answer(from, false));
      solo.receive(answer(from, true));
    }
    expect(solo.core.status.role).toBe('follower');
  });

  test('does not count votes of another term or of strangers', () => {
    const solo = candidate();
    solo.receive(answer(2, true, 1));
    solo.receive(answer(6, true));
    solo.receive(answer(7, true));
    expect(solo.core.status.role).toBe('candidate');
  });

  test('does not win by the votes of a majority before its own is durable', () => {
    const solo = new Solo(diskOf([1], THREE));
    solo.holdsDisk = true;
    solo.campaign();
    solo.receive(answer(2, true));
    expect(solo.core.status.role).toBe('candidate');
    solo.release();
    expect(solo.core.status.role).toBe('leader');
  });
});

// "A candidate wins an election if it receives votes from a majority of the servers in the full cluster".
test.each([1, 2, 3, 4, 5, 6, 7])('of %i, a majority of granted votes is needed, and enough', (size) => {
  const voters = Array.from({ length: size }, (_, n) => n + 1);
  const solo = new Solo(diskOf([1], configuration(voters)));
  // Alone it leads at once.
  if (size === 1) solo.advance(solo.core.deadline() - solo.now);
  else solo.campaign();
  let granted = 1;
  while (solo.core.status.role !== 'leader' && granted < size) {
    granted += 1;
    solo.receive({ kind: 'vote-response', from: granted, term: 2, granted: true });
  }
  expect(solo.core.status.role).toBe('leader');
  expect(granted).toBe(Math.floor(size / 2) + 1);
});

// "The majority rule ensures that at most one candidate can win the election for a particular term."
test('whichever of two candidates each voter hears first, at most one wins', () => {
  const other = (candidate: number): number => 3 - candidate;
  for (let choices = 0; choices < 8; choices++) {
    const first = (voter: number): number => ((choices >> (voter - 3)) & 1) + 1;
    const candidates = new Map([1, 2].map((n) => [n, new Solo(diskOf([1], FIVE), {}, n)]));
    for (const [n, solo] of candidates) {
      solo.timeOut();
      for (const from of [other(n), 3, 4, 5])
        solo.receive({ kind: 'pre-vote-response', from, term: 1, nextTerm: toTerm(2), granted: true });
    }
    for (const voter of [3, 4, 5]) {
      const solo = new Solo(diskOf([1], FIVE), {}, voter);
      for (const from of [first(voter), other(first(voter))]) {
        solo.receive({ kind: 'vote-request', from, term: 2, last: at(1, 1), transfer: false });
      }
      for (const { to, granted } of solo.of('vote-response')) {
        candidates.get(to)?.receive({ kind: 'vote-response', from: voter, term: 2, granted });
      }
    }
    const roles = [...candidates.values()].map((solo) => solo.core.status.role);
    expect(roles.filter((role) => role === 'leader')).toHaveLength(1);
  }
});

// "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis."
test('a replica votes once a term, remembers it over a restart, and repeats it to the same candidate', () => {
  const solo = new Solo();
  const request = (from: number) =>
    ({ kind: 'vote-request', from, term: 2, last: at(1, 1), transfer: false }) as const;
  solo.receive(request(2));
  solo.receive(request(3));
  solo.receive(request(2));
  expect(solo.of('vote-response').map((m) => [m.to, m.granted])).toEqual([
    [2, true],
    [3, false],
    [2, true],
  ]);
  const { hardState } = solo.persisted.at(-1) ?? solo.disk;
  const restarted = new Solo({ ...solo.disk, hardState });
  restarted.receive(request(3));
  expect(restarted.of('vote-response')).toMatchObject([{ to: 3, granted: false }]);
});

// "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to all of the other servers to
// establish its authority and prevent new elections."
test('a new leader speaks to everybody at once', () => {
  const solo = new Solo();
  solo.campaign();
  solo.forget();
  solo.receive({ kind: 'vote-response', from: 2, term: 2, granted: true });
  expect(solo.of('heartbeat-request').map((m) => m.to)).toEqual([2, 3]);
  expect(solo.of('append-request').map((m) => m.to)).toEqual([2, 3]);
});

// "If the leader's term (included in its RPC) is at least as large as the candidate's current term, then the candidate
// recognizes the leader as legitimate and returns to follower state. If the term in the RPC is smaller than the
// candidate's current term, then the candidate rejects the RPC and continues in candidate state."
test.each([
  [2, 'follower'],
  [3, 'follower'],
  [1, 'candidate'],
])('a candidate of term 2 that hears a leader of term %i is a %s then', (term, role) => {
  const solo = new Solo();
  solo.campaign();
  solo.forget();
  solo.receive({ ...heartbeat, from: 2, term });
  expect(solo.core.status.role).toBe(role);
  // A rejection is an answer in the higher term.
  expect(solo.of('heartbeat-response')).toMatchObject([{ to: 2, term: Math.max(term, 2) }]);
});

// "The third possible outcome is that a candidate neither wins nor loses the election ... each candidate will time out
// and start a new election by incrementing its term and initiating another round."
test('a candidate without an outcome asks again in its term, then campaigns anew in the next', () => {
  const solo = new Solo();
  solo.campaign();
  solo.forget();
  solo.advance(250);
  expect(solo.of('vote-request').map((m) => m.term)).toEqual([2, 2]);
  solo.campaign();
  expect(solo.core.status).toMatchObject({ role: 'candidate', term: 3 });
});

// "Raft uses randomized election timeouts to ensure that split votes are rare and that they are resolved quickly."
test('timeouts are drawn anew from the whole of [1 s, 2 s)', () => {
  const network = Network.voters(1, {}, 7);
  const seen: number[] = [];
  for (let n = 0; n < 300; n++) {
    const solo = new Network({}, n);
    solo.add(1, diskOf([1], THREE));
    seen.push(solo.core(1).deadline());
  }
  expect(Math.min(...seen)).toBeGreaterThanOrEqual(1_000);
  expect(Math.min(...seen)).toBeLessThan(1_050);
  expect(Math.max(...seen)).toBeLessThan(2_000);
  expect(Math.max(...seen)).toBeGreaterThan(1_950);
  // Alone, there is nobody to wait for.
  expect(network.core(1).deadline()).toBeLessThan(1_000);
});

// "Each candidate restarts its randomized election timeout at the start of an election, and it waits for that timeout to
// elapse before starting the next election."
test('so are those of candidates, at each attempt', () => {
  const network = new Network({}, 1);
  network.add(1, diskOf([1], THREE));
  const [to, from] = THREE.voters;
  if (to === undefined || from === undefined) throw new Error('three voters');
  // Who has refused is asked again in the next attempt, and not before.
  const attempts = (): number => network.sent.filter((m) => m.to === from).length;
  const starts: number[] = [];
  for (let n = 0; n < 100; n++) {
    expect(network.runUntil(() => attempts() > n)).toBe(true);
    starts.push(network.now);
    network.deliver({
      kind: 'pre-vote-response',
      from,
      to,
      term: toTerm(1),
      nextTerm: toTerm(2),
      granted: false,
    });
  }
  const waits = starts.slice(1).map((start, n) => start - (starts[n] ?? 0));
  expect(new Set(waits).size).toBeGreaterThan(50);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(1_000);
  expect(Math.max(...waits)).toBeLessThan(2_000);
});

test('out of many clusters that start at once, each elects one leader a term, soon', () => {
  for (let seed = 0; seed < 100; seed++) {
    const network = Network.voters(5, {}, seed);
    network.elect();
    expect(network.now).toBeLessThan(10_000);
    const leaders = [1, 2, 3, 4, 5].filter((n) => network.status(n).role === 'leader');
    expect(leaders).toHaveLength(1);
  }
});

// Thesis 9.6: "In the Pre-Vote algorithm, a candidate only increments its term if it first learns from a majority of the
// cluster that they would be willing to grant the candidate their votes."
test('without a majority of pre-votes the term stays, however long', () => {
  const solo = new Solo();
  for (let n = 0; n < 50; n++) {
    solo.advance(solo.core.deadline() - solo.now);
    solo.receive({ kind: 'pre-vote-response', from: 2, term: 1, nextTerm: toTerm(2), granted: false });
    solo.receive({ kind: 'pre-vote-response', from: 3, term: 1, nextTerm: toTerm(2), granted: false });
  }
  expect(solo.core.status.term).toBe(1);
});

test('a pre-vote changes nothing at the voter, and is no vote', () => {
  const solo = new Solo();
  const before = { ...solo.core.status, deadline: solo.core.deadline() };
  solo.receive({ kind: 'pre-vote-request', from: 2, term: 8, nextTerm: toTerm(9), last: at(1, 1) });
  expect(solo.of('pre-vote-response')).toMatchObject([{ granted: true, nextTerm: 9, term: 1 }]);
  expect({ ...solo.core.status, deadline: solo.core.deadline() }).toEqual(before);
  expect(solo.persisted).toEqual([]);
  solo.receive({ kind: 'vote-request', from: 3, term: 2, last: at(1, 1), transfer: false });
  expect(solo.of('vote-response')).toMatchObject([{ to: 3, granted: true }]);
});

test('a pre-vote for an earlier attempt does not count', () => {
  const solo = new Solo();
  solo.campaign();
  solo.timeOut();
  solo.receive({ kind: 'pre-vote-response', from: 2, term: 1, nextTerm: toTerm(2), granted: true });
  expect(solo.core.status.term).toBe(2);
  solo.receive({ kind: 'pre-vote-response', from: 2, term: 2, nextTerm: toTerm(3), granted: true });
  expect(solo.core.status.term).toBe(3);
});
