/**
 * Raft paper, section 6: cluster membership changes. Each test quotes the sentence it holds the core to.
 */
import { describe, expect, test } from 'vitest';
import { toLogIndex, toTerm } from '../../raft/core/types.ts';
import { configuration, diskOf, Network } from '../unit/raft/core/network.ts';
import { at, Solo, THREE } from '../unit/raft/core/solo.ts';

const i = toLogIndex;
const accepted = (from: number, match: number) =>
  ({ kind: 'append-accepted', from, term: 2, match: i(match) }) as const;

/** Leader 1 of [1, 2, 3] with its no-op committed. */
function settled(): Solo {
  const leader = Solo.leader();
  leader.receive(accepted(2, 2));
  leader.receive(accepted(3, 2));
  leader.forget();
  return leader;
}
const change = (solo: Solo, voters: number[], learners: number[] = []) => {
  const { voters: v, learners: l } = configuration(voters, learners);
  const result = solo.core.changeConfiguration({ voters: [...v], learners: [...l] }, solo.now);
  solo.drain();
  return result;
};

// "Once a given server adds the new configuration entry to its log, it uses that configuration for all future decisions (a
// server always uses the latest configuration in its log, regardless of whether the entry is committed)."
describe('a configuration is in force from when it is appended', () => {
  test('on the leader: it replicates to the new servers at once', () => {
    const leader = settled();
    expect(change(leader, [1, 2, 4])).toEqual({ kind: 'appended', id: at(2, 3) });
    expect(leader.core.status.configuration).toEqual(configuration([1, 2, 4], [], [1, 2, 3]));
    expect(leader.of('append-request').map((m) => m.to)).toContain(4);
  });

  test('on a follower, and no longer when the entry is overwritten', () => {
    const disk = diskOf([1], THREE, 2);
    const solo = new Solo({ ...disk, hardState: { ...disk.hardState, commit: i(1) } });
    const joint = configuration([1, 2, 4], [], [1, 2, 3]);
    const entry = { ...at(2, 2), kind: 'configuration', configuration: joint } as const;
    solo.receive({
      kind: 'append-request',
      from: 2,
      term: 2,
      prev: at(1, 1),
      entries: [entry],
      commit: i(0),
    });
    expect(solo.core.status).toMatchObject({ configuration: joint, commit: 1 });
    solo.receive({
      kind: 'append-request',
      from: 3,
      term: 3,
      prev: at(1, 1),
      entries: [{ ...at(3, 2), kind: 'noop' }],
      commit: i(0),
    });
    expect(solo.core.status.configuration).toEqual(THREE);
  });
});

// "Log entries are replicated to all servers in both configurations."
// "Agreement (for elections and entry commitment) requires separate majorities from both the old and new configurations."
test('in the joint phase, commit needs both majorities', () => {
  const leader = settled();
  change(leader, [1, 4, 5]);
  expect(new Set(leader.of('append-request').map((m) => m.to))).toEqual(new Set([2, 3, 4, 5]));
  leader.receive(accepted(4, 3));
  leader.receive(accepted(5, 3));
  expect(leader.core.status.commit).toBe(2);
  leader.receive(accepted(3, 3));
  expect(leader.core.status.commit).toBe(3);
});

test('in the joint phase, an election needs both majorities', () => {
  const joint = configuration([1, 4, 5], [], [1, 2, 3]);
  const solo = new Solo(diskOf([1], joint));
  solo.timeOut();
  const yes = (from: number) =>
    ({ kind: 'pre-vote-response', from, term: 1, nextTerm: toTerm(2), granted: true }) as const;
  solo.receive(yes(4));
  solo.receive(yes(5));
  expect(solo.core.status.term).toBe(1);
  solo.receive(yes(2));
  expect(solo.core.status.term).toBe(2);
});

// "Once C_old,new has been committed ... it is now safe for the leader to create a log entry describing C_new."
test('the leader leaves the joint phase by itself when it is committed, and not before', () => {
  const leader = settled();
  change(leader, [1, 2, 4]);
  leader.receive(accepted(4, 3));
  expect(leader.core.status.last).toEqual(at(2, 3));
  leader.receive(accepted(2, 3));
  expect(leader.core.status).toMatchObject({
    commit: 3,
    last: at(2, 4),
    configuration: configuration([1, 2, 4]),
  });
});

// "Any server from either configuration may serve as leader." / "... crashes ... a new leader can be chosen under either."
describe('the joint phase outlives its leader', () => {
  test.each([1, 2, 3, 4])('crash number %i', (crashAfter) => {
    const network = Network.bootstrap(5);
    network.elect(1);
    network.change(1, [1], [2, 3, 4, 5]);
    network.run(3_000);
    network.change(1, [1, 2, 3], [4, 5]);
    network.run(3_000);
    expect(network.change(1, [2, 4, 5], [1, 3]).kind).toBe('appended');
    network.run(crashAfter);
    network.crash(1);
    network.elect();
    network.restart(1);
    const left = network.runUntil(() => {
      const leader = network.leader();
      if (leader === null) return false;
      const { configuration: c, configurationIndex, commit } = network.status(leader);
      return c.outgoing.length === 0 && configurationIndex <= commit;
    });
    expect(left).toBe(true);
  });
});

// "When the new configuration has been committed under the rules of C_new, the old configuration is irrelevant and servers
// not in the new configuration can be shut down."
test('after the change the removed servers are not needed any more', () => {
  const network = Network.voters(5);
  const leader = network.elect(1);
  network.change(leader, [1, 2]);
  const done = (): boolean => network.status(1).configuration.outgoing.length === 0;
  expect(network.runUntil(() => done() && network.status(1).commit === network.status(1).last.index)).toBe(
    true,
  );
  for (const n of [3, 4, 5]) network.crash(n);
  network.run(10_000);
  network.propose(1, 'x');
  expect(network.runUntil(() => network.node(2).applied.some((e) => e.includes(':x@')))).toBe(true);
  expect(network.leader()).toBe(leader);
});

// "The leader steps down (returns to follower state) once it has committed the C_new log entry. This means that there will
// be a period of time (while it is committing C_new) when the leader is managing a cluster that does not include itself;
// it replicates log entries but does not count itself in majorities."
test('a leader that is removed does not count itself, and steps down when that is committed', () => {
  const leader = settled();
  change(leader, [2, 3, 4]);
  leader.receive(accepted(2, 3));
  leader.receive(accepted(3, 3));
  expect(leader.core.status).toMatchObject({
    commit: 3,
    last: at(2, 4),
    configuration: configuration([2, 3, 4]),
  });
  leader.receive(accepted(2, 4));
  expect(leader.core.status).toMatchObject({ role: 'leader', commit: 3 });
  leader.receive(accepted(3, 4));
  expect(leader.core.status).toMatchObject({ role: 'learner', commit: 4, leader: null });
  leader.forget();
  leader.advance(60_000);
  expect(leader.sent).toEqual([]);
  expect(leader.core.deadline()).toBe(Number.POSITIVE_INFINITY);
});

// "... new servers join the cluster as non-voting members (the leader replicates log entries to them, but they are not
// considered for majorities)."
describe('a learner', () => {
  test('receives everything and counts for nothing', () => {
    const leader = settled();
    change(leader, [1, 2, 3], [4]);
    leader.receive(accepted(4, 3));
    expect(leader.core.status.commit).toBe(2);
    leader.receive(accepted(2, 3));
    expect(leader.core.status).toMatchObject({ commit: 3, configuration: configuration([1, 2, 3], [4]) });
  });

  test('never campaigns', () => {
    const solo = new Solo(diskOf([1], configuration([2, 3], [1])));
    expect(solo.core.status.role).toBe('learner');
    expect(solo.core.deadline()).toBe(Number.POSITIVE_INFINITY);
    solo.advance(100_000);
    expect(solo.sent).toEqual([]);
  });

  test('is spoken to when it joins, and then less often than a voter', () => {
    const leader = settled();
    change(leader, [1, 2, 3], [4]);
    leader.forget();
    for (let n = 0; n < 8; n++) {
      leader.advance(250);
      const { sequence } = leader.of('heartbeat-request').at(-1) ?? { sequence: 0 };
      leader.receive({ kind: 'heartbeat-response', from: 2, term: 2, sequence, lastIndex: i(3) });
    }
    const beats = (to: number): number => leader.of('heartbeat-request').filter((m) => m.to === to).length;
    expect([beats(2), beats(3), beats(4)]).toEqual([8, 8, 3]);
  });
});

// "If a server receives a RequestVote RPC within the minimum election timeout of hearing from a current leader, it does
// not update its term or grant its vote."
describe('within the minimum election timeout of hearing from a leader', () => {
  test('a follower does not vote and keeps its term', () => {
    const solo = new Solo();
    solo.receive({ kind: 'heartbeat-request', from: 2, term: 1, commit: i(0), sequence: 1 });
    solo.forget();
    solo.now = 999;
    solo.receive({ kind: 'vote-request', from: 3, term: 9, last: at(8, 99), transfer: false });
    expect(solo.core.status).toMatchObject({ term: 1, leader: 2 });
    expect(solo.sent).toEqual([]);
    solo.receive({ kind: 'pre-vote-request', from: 3, term: 8, nextTerm: toTerm(9), last: at(8, 99) });
    expect(solo.of('pre-vote-response')).toMatchObject([{ granted: false, term: 1 }]);
    solo.now = 1_000;
    solo.receive({ kind: 'vote-request', from: 3, term: 9, last: at(8, 99), transfer: false });
    expect(solo.of('vote-response')).toMatchObject([{ granted: true, term: 9 }]);
  });

  test('a leader stays one', () => {
    const leader = settled();
    leader.receive({ kind: 'vote-request', from: 3, term: 9, last: at(8, 99), transfer: false });
    leader.receive({ kind: 'pre-vote-request', from: 3, term: 8, nextTerm: toTerm(9), last: at(8, 99) });
    expect(leader.core.status).toMatchObject({ role: 'leader', term: 2 });
  });
});

// "The third issue is that removed servers (those not in C_new) can disrupt the cluster."
test('a removed server that does not know it disturbs nobody', () => {
  const network = Network.voters(4);
  const leader = network.elect(1);
  network.isolate(4);
  network.change(leader, [1, 2, 3]);
  network.run(3_000);
  network.heal();
  const { term } = network.status(leader);
  network.run(60_000);
  expect(network.status(4)).toMatchObject({ term, leader: null });
  for (const n of [1, 2, 3]) expect(network.status(n)).toMatchObject({ term, leader });
});

test('a late answer of a removed server does not depose the leader, whatever its term', () => {
  const leader = settled();
  leader.receive({ kind: 'heartbeat-response', from: 4, term: 99, sequence: 1, lastIndex: i(2) });
  leader.receive({ kind: 'vote-response', from: 4, term: 99, granted: false });
  expect(leader.core.status).toMatchObject({ role: 'leader', term: 2 });
});

// Thesis 4.2.2: "a server that is not part of its own latest configuration should still start new elections, as it might
// still be needed until the C_new entry is committed."
test('a voter that its own log removes is elected when it alone holds that entry', () => {
  const joint = {
    ...at(2, 2),
    kind: 'configuration',
    configuration: configuration([2], [], [1, 2]),
  } as const;
  const final = { ...at(2, 3), kind: 'configuration', configuration: configuration([2]) } as const;
  const network = new Network();
  const base = diskOf([1], configuration([1, 2]), 2);
  const hardState = { ...base.hardState, commit: i(2) };
  network.add(1, { hardState, snapshot: null, entries: [...base.entries, joint, final] });
  network.add(2, { hardState, snapshot: null, entries: [...base.entries, joint] });
  const ended = network.runUntil(() => network.leader() === 2 && network.status(2).commit >= 4);
  expect(ended).toBe(true);
  expect(network.status(2).configuration).toEqual(configuration([2]));
});

describe('a change is refused', () => {
  test('before the leader has committed in its own term', () => {
    const disk = diskOf([1], THREE);
    const leader = Solo.leader({ ...disk, hardState: { ...disk.hardState, commit: i(1) } });
    expect(change(leader, [1, 2])).toEqual({ kind: 'in-progress' });
    leader.receive(accepted(2, 2));
    expect(change(leader, [1, 2]).kind).toBe('appended');
  });

  test('while another is under way, the joint phase to its end', () => {
    const leader = settled();
    change(leader, [1, 2, 3], [4]);
    expect(change(leader, [1, 2, 3], [5])).toEqual({ kind: 'in-progress' });
    leader.receive(accepted(2, 3));
    expect(change(leader, [1, 2, 4]).kind).toBe('appended');
    leader.receive(accepted(2, 4));
    leader.receive(accepted(4, 4));
    expect(leader.core.status).toMatchObject({ commit: 4, last: at(2, 5) });
    expect(change(leader, [1, 2, 3])).toEqual({ kind: 'in-progress' });
    leader.receive(accepted(2, 5));
    expect(change(leader, [1, 2, 3]).kind).toBe('appended');
  });

  test('by who does not lead, and when it makes no sense', () => {
    expect(change(new Solo(), [1, 2])).toEqual({ kind: 'not-leader', leader: null });
    expect(change(settled(), [])).toMatchObject({ kind: 'invalid' });
  });
});
