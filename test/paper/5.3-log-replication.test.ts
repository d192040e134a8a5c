/**
 * Raft paper, section 5.3: log replication, and the receiver's rules of figure 2. Each test quotes the sentence it holds
 * the core to.
 */
import { describe, expect, test } from 'vitest';
import { type Entry, toLogIndex } from '../../raft/core/types.ts';
import { configuration, diskOf, Network } from '../unit/raft/core/network.ts';
import { at, command, Solo, THREE } from '../unit/raft/core/solo.ts';

const i = toLogIndex;
const FIVE = configuration([1, 2, 3, 4, 5]);

/** What a leader 2 of `term` sends. */
const append = (term: number, prev: ReturnType<typeof at>, entries: readonly Entry[], commit = 0) =>
  ({ kind: 'append-request', from: 2, term, prev, entries, commit: i(commit) }) as const;
const accepted = (from: number, term: number, match: number) =>
  ({ kind: 'append-accepted', from, term, match: i(match) }) as const;

function logOf(solo: Solo): string[] {
  const entries = solo.persisted.reduce<Entry[]>(
    (log, { truncateFrom, entries: put }) => [
      ...log.filter((e) => truncateFrom === null || e.index < truncateFrom),
      ...put,
    ],
    [...solo.disk.entries],
  );
  return entries.map((e) => `${e.index}@${e.term}`);
}

// "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel to each of the
// other servers to replicate the entry."
test('a leader appends a command and sends it to everybody, in parallel with its own disk', () => {
  const leader = Solo.leader();
  for (const from of [2, 3]) leader.receive(accepted(from, 2, 2));
  leader.forget();
  leader.holdsDisk = true;
  expect(leader.propose('x')).toEqual({ kind: 'appended', id: at(2, 3) });
  expect(leader.of('append-request').map((m) => [m.to, m.prev, m.entries.map((e) => e.index)])).toEqual([
    [2, at(2, 2), [3]],
    [3, at(2, 2), [3]],
  ]);
  expect(leader.held).toMatchObject([{ entries: [{ index: 3 }] }]);
});

// "Each log entry stores a state machine command along with the term number when the entry was received by the leader ...
// Each log entry also has an integer index identifying its position in the log."
test('an entry holds its command, the term of its leader, and the next index', () => {
  const leader = Solo.leader();
  leader.forget();
  leader.propose('x');
  leader.propose('y');
  const payloads = leader.persisted.flatMap(({ entries }) => entries);
  expect(payloads).toEqual([
    { ...at(2, 3), kind: 'command', payload: new TextEncoder().encode('x') },
    { ...at(2, 4), kind: 'command', payload: new TextEncoder().encode('y') },
  ]);
});

// "In the normal case a new entry can be replicated with a single round of RPCs to a majority of the cluster; and a single
// slow follower will not impact performance."
test('one round to a majority commits, however slow the others are', () => {
  const network = Network.voters(5);
  const leader = network.elect(1);
  network.run(1_000);
  network.delays = (m) => (m.to >= 4 || m.from >= 4 ? [500] : [1]);
  network.sent = [];
  const start = network.now;
  network.propose(leader, 'x');
  expect(network.runUntil(() => network.node(1).applied.some((e) => e.includes(':x@')))).toBe(true);
  expect(network.now - start).toBeLessThanOrEqual(2 + network.diskMs);
  expect(
    network.sent.filter((m) => m.to === 2 && m.kind === 'append-request' && m.entries.length > 0),
  ).toHaveLength(1);
});

test('who does not lead appends nothing and names the leader', () => {
  const solo = new Solo();
  expect(solo.propose('x')).toEqual({ kind: 'not-leader', leader: null });
  solo.receive(append(1, at(1, 1), []));
  expect(solo.propose('x')).toEqual({ kind: 'not-leader', leader: 2 });
  expect(solo.core.status.last).toEqual(at(1, 1));
});

// "A log entry is committed once the leader that created the entry has replicated it on a majority of the servers. This
// also commits all preceding entries in the leader's log, including entries created by previous leaders."
test('an entry is committed and applied when a majority holds it, with everything before', () => {
  const leader = Solo.leader(diskOf([1, 1, 1], FIVE));
  expect(leader.core.status).toMatchObject({ commit: 0, last: at(2, 4) });
  leader.receive(accepted(2, 2, 4));
  leader.receive(accepted(2, 2, 4));
  expect(leader.core.status.commit).toBe(0);
  leader.receive(accepted(3, 2, 4));
  expect(leader.core.status.commit).toBe(4);
  expect(leader.applied.map((e) => e.split(':')[0])).toEqual(['1', '2', '3', '4']);
});

test('what only the leader has in memory is not held by it', () => {
  const leader = Solo.leader();
  leader.holdsDisk = true;
  leader.propose('x');
  leader.receive(accepted(2, 2, 3));
  expect(leader.core.status.commit).toBe(2);
  leader.release();
  expect(leader.core.status.commit).toBe(3);
});

test('an acknowledgement of another term, of a stranger, or of more than there is commits nothing', () => {
  const leader = Solo.leader();
  leader.receive(accepted(2, 1, 2));
  leader.receive(accepted(4, 2, 2));
  leader.receive(accepted(3, 2, 99));
  expect(leader.core.status.commit).toBe(0);
});

// "The leader keeps track of the highest index it knows to be committed, and it includes that index in future
// AppendEntries RPCs (including heartbeats) so that the other servers eventually find out."
describe('the commit index', () => {
  test('goes to the followers at once', () => {
    const leader = Solo.leader();
    leader.receive(accepted(2, 2, 2));
    leader.receive(accepted(3, 2, 2));
    expect(leader.of('append-request').slice(-2)).toMatchObject([
      { to: 2, prev: at(2, 2), entries: [], commit: 2 },
      { to: 3, prev: at(2, 2), entries: [], commit: 2 },
    ]);
    leader.forget();
    leader.drain();
    expect(leader.sent).toEqual([]);
  });

  test('in a heartbeat is never more than the follower is known to hold', () => {
    const leader = Solo.leader(diskOf([1], FIVE));
    leader.receive(accepted(2, 2, 2));
    leader.receive(accepted(3, 2, 2));
    leader.forget();
    leader.advance(250);
    expect(leader.of('heartbeat-request').map((m) => [m.to, m.commit])).toEqual([
      [2, 2],
      [3, 2],
      [4, 0],
      [5, 0],
    ]);
  });
});

// "Once a follower learns that a log entry is committed, it applies the entry to its local state machine (in log order)."
test('a follower applies each committed entry once, in order', () => {
  const solo = new Solo(diskOf([1, 1, 1], THREE));
  solo.receive(append(1, at(1, 3), [], 2));
  solo.receive(append(1, at(1, 3), [], 2));
  solo.receive(append(1, at(1, 3), [], 3));
  expect(solo.applied.map((e) => e.split(':')[0])).toEqual(['1', '2', '3']);
});

// Figure 2: "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)."
describe('a follower commits no further than the message proves', () => {
  test('not its own tail', () => {
    const solo = new Solo(diskOf([1, 1, 1, 1], THREE));
    solo.receive(append(2, at(1, 1), [], 4));
    expect(solo.core.status.commit).toBe(1);
    solo.receive(append(2, at(1, 1), [command(2, 2)], 4));
    expect(solo.core.status).toMatchObject({ commit: 2, last: at(2, 2) });
  });

  test('nothing by a heartbeat that speaks of more than it has', () => {
    const solo = new Solo();
    solo.receive({ kind: 'heartbeat-request', from: 2, term: 1, commit: i(5), sequence: 1 });
    expect(solo.core.status.commit).toBe(0);
  });

  test('and never back', () => {
    const solo = new Solo(diskOf([1, 1, 1], THREE));
    solo.receive(append(1, at(1, 3), [], 3));
    solo.receive(append(1, at(1, 2), [], 1));
    solo.receive({ kind: 'heartbeat-request', from: 2, term: 1, commit: i(1), sequence: 1 });
    expect(solo.core.status.commit).toBe(3);
  });
});

// "If two entries in different logs have the same index and term, then they store the same command. If two entries in
// different logs have the same index and term, then the logs are identical in all preceding entries."
// "... whenever AppendEntries returns successfully, the leader knows that the follower's log is identical to its own log up
// through the new entries."
test('log matching, and an acknowledgement stands for equal logs, whatever leaders come and go', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const network = Network.voters(3, {}, seed);
    const logs = (n: number): string[] => network.node(n).disk.entries.map((e) => `${e.index}@${e.term}`);
    network.delays = (m) => {
      if (m.kind === 'append-accepted' && network.leader() === m.to && network.status(m.to).term === m.term) {
        expect(logs(m.from).slice(0, m.match)).toEqual(logs(m.to).slice(0, m.match));
      }
      return network.random() < 0.2 ? [] : [1 + Math.floor(network.random() * 30)];
    };
    for (let n = 0; n < 60; n++) {
      const leader = network.leader();
      if (leader !== null) network.propose(leader, `x${n}`);
      network.run(50);
      if (n % 15 === 14 && leader !== null) {
        network.heal();
        network.isolate(leader);
      }
      for (const [a, b] of [
        [1, 2],
        [1, 3],
        [2, 3],
      ] as const) {
        const [one, other] = [logs(a), logs(b)];
        const common = one.findLastIndex((entry, index) => entry === other[index]);
        expect(one.slice(0, common + 1)).toEqual(other.slice(0, common + 1));
      }
    }
  }
});

// "When sending an AppendEntries RPC, the leader includes the index and term of the entry in its log that immediately
// precedes the new entries. If the follower does not find an entry in its log with the same index and term, then it
// refuses the new entries."
describe('the consistency check', () => {
  test.each([
    ['an entry that is there', at(1, 2), null],
    ['the beginning', at(0, 0), null],
    ['an entry beyond the end', at(2, 9), at(1, 3)],
    ['an entry of a later term', at(2, 3), at(1, 3)],
  ])('with %s before', (_, prev, hint) => {
    const solo = new Solo(diskOf([1, 1, 1], THREE, 2));
    const first = solo.disk.entries[0];
    const entries = prev.index === 0 && first !== undefined ? [first] : [];
    solo.receive(append(2, prev, entries));
    if (hint === null)
      expect(solo.of('append-accepted')).toMatchObject([{ match: prev.index + entries.length }]);
    else expect(solo.of('append-rejected')).toMatchObject([{ rejected: prev.index, hint }]);
    expect(logOf(solo)).toEqual(['1@1', '2@1', '3@1']);
  });
});

// "In Raft, the leader handles inconsistencies by forcing the followers' logs to duplicate its own. This means that
// conflicting entries in follower logs will be overwritten with entries from the leader's log."
// Figure 2: "If an existing entry conflicts with a new one (same index but different terms), delete the existing entry
// and all that follow it. Append any new entries not already in the log."
describe('new entries at a follower', () => {
  const start = (): Solo => new Solo(diskOf([1, 1, 2, 2], THREE, 3));

  test('replace what conflicts and all that follows', () => {
    const solo = start();
    solo.receive(append(3, at(1, 2), [command(3, 3)]));
    expect(logOf(solo)).toEqual(['1@1', '2@1', '3@3']);
    expect(solo.persisted).toMatchObject([{ truncateFrom: 3, entries: [{ index: 3, term: 3 }] }]);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 3 }]);
  });

  test('that are there already change nothing, and nothing that follows them', () => {
    const solo = start();
    solo.receive(append(3, at(1, 1), [command(1, 2), command(2, 3)]));
    expect(logOf(solo)).toEqual(['1@1', '2@1', '3@2', '4@2']);
    expect(solo.persisted).toMatchObject([{ truncateFrom: null, entries: [] }]);
    expect(solo.of('append-accepted')).toMatchObject([{ match: 3 }]);
  });

  test('are taken from the first that is missing', () => {
    const solo = start();
    solo.receive(append(3, at(1, 2), [command(2, 3), command(2, 4), command(3, 5)]));
    expect(solo.persisted).toMatchObject([{ truncateFrom: null, entries: [{ index: 5 }] }]);
  });

  test('out of order or doubled give the same log as in order', () => {
    const messages = [
      append(3, at(1, 2), [command(3, 3), command(3, 4)]),
      append(3, at(3, 4), [command(3, 5)]),
      append(3, at(3, 5), [command(3, 6)]),
    ] as const;
    for (const order of [
      [2, 1, 0, 1, 2],
      [0, 2, 1, 0, 2],
      [0, 1, 2, 0, 1, 0],
    ]) {
      const solo = start();
      for (const n of order) {
        const message = messages[n];
        if (message !== undefined) solo.receive(message);
      }
      expect(logOf(solo)).toEqual(['1@1', '2@1', '3@3', '4@3', '5@3', '6@3']);
    }
  });

  test('below the commit index are not looked at: the answer is the commit index', () => {
    const solo = start();
    solo.receive(append(3, at(2, 4), [], 4));
    solo.forget();
    solo.receive(append(3, at(1, 1), [command(1, 2)]));
    expect(solo.of('append-accepted')).toMatchObject([{ match: 4 }]);
    solo.receive(append(3, at(1, 1), [command(1, 2), command(2, 3), command(2, 4), command(3, 5)]));
    expect(solo.of('append-accepted')).toMatchObject([{ match: 4 }, { match: 5 }]);
  });

  test('in an order that no leader can send change nothing', () => {
    const solo = start();
    solo.receive(append(3, at(2, 4), [command(3, 6)]));
    solo.receive(append(3, at(2, 4), [command(4, 5)]));
    solo.receive(append(3, at(2, 4), [command(1, 5)]));
    expect(solo.sent).toEqual([]);
    expect(logOf(solo)).toEqual(['1@1', '2@1', '3@2', '4@2']);
  });
});

// Figure 2: "(Updated on stable storage before responding to RPCs)"
test('a follower acknowledges what is durable, in the order of its writes', () => {
  const solo = new Solo();
  solo.holdsDisk = true;
  solo.receive(append(1, at(1, 1), [command(1, 2)]));
  solo.receive(append(1, at(1, 1), [command(1, 2)]));
  expect(solo.of('append-accepted')).toEqual([]);
  expect(solo.held.map((p) => [p.entries.length, p.thenSend.length])).toEqual([
    [1, 1],
    [0, 1],
  ]);
  solo.release();
  expect(solo.of('append-accepted')).toMatchObject([{ match: 2 }, { match: 2 }]);
});

// "If followers crash or run slowly, or if network packets are lost, the leader retries AppendEntries RPCs indefinitely
// ... until all followers eventually store all log entries."
describe('an append that is lost', () => {
  test.each([0.1, 0.5, 0.9])('at a loss of %d, everything arrives', (loss) => {
    const network = Network.voters(3, {}, 5);
    const leader = network.elect();
    network.delays = () => (network.random() < loss ? [] : [1]);
    for (let n = 0; n < 100; n++) {
      const { role } = network.status(leader);
      if (role === 'leader') network.propose(leader, `x${n}`);
      network.run(5);
    }
    network.delays = () => [1];
    network.elect();
    const done = network.runUntil(
      () => new Set([1, 2, 3].map((n) => network.node(n).applied.join())).size === 1,
    );
    expect(done).toBe(true);
  });

  test('as the last of a burst is sent again within a few round trips', () => {
    const network = Network.voters(3, {}, 5);
    const leader = network.elect();
    for (let n = 0; n < 20; n++) {
      network.propose(leader, `x${n}`);
      network.run(20);
    }
    const start = network.now;
    let lost = false;
    network.delays = (m) => {
      if (m.kind !== 'append-request' || m.entries.length === 0 || lost) return [1];
      lost = true;
      return [];
    };
    network.propose(leader, 'last');
    const has = (n: number): boolean => network.node(n).applied.at(-1)?.includes('last') ?? false;
    expect(network.runUntil(() => [1, 2, 3].every(has))).toBe(true);
    expect(lost).toBe(true);
    expect(network.now - start).toBeLessThan(60);
  });

  test('in the middle is repaired by the rejection of the next, still replicating', () => {
    const network = Network.voters(3, {}, 5);
    const leader = network.elect();
    network.run(100);
    const follower = leader === 2 ? 1 : 2;
    let appends = 0;
    network.delays = (m) => {
      if (m.kind !== 'append-request' || m.to !== follower) return [1];
      appends += 1;
      return appends === 1 ? [] : [1];
    };
    for (let n = 0; n < 3; n++) network.propose(leader, `x${n}`);
    const states = new Set<string | undefined>();
    network.runUntil(() => {
      states.add([...network.status(leader).progress].find(([peer]) => peer === follower)?.[1].state);
      return network.status(follower).commit === network.status(leader).last.index;
    });
    expect([...states]).toEqual(['replicate']);
  });
});

// "When a leader first comes to power, it initializes all nextIndex values to the index just after the last one in its
// log."
test('the first append of a leader begins after its last entry', () => {
  const leader = Solo.leader(diskOf([1, 1, 1], THREE));
  expect(leader.of('append-request').map((m) => [m.to, m.prev])).toEqual([
    [2, at(1, 3)],
    [3, at(1, 3)],
  ]);
});

// "If a follower's log is inconsistent with the leader's ... the leader decrements nextIndex and retries ... the protocol
// can be optimized to reduce the number of rejected AppendEntries RPCs ... one AppendEntries RPC will be required for
// each term with conflicting entries, rather than one RPC per entry."
test('a rejected leader goes back by a whole term', () => {
  const leader = Solo.leader(diskOf([1, 1, 1, 4, 4, 5, 5, 6, 6, 6], THREE));
  leader.forget();
  leader.receive({ kind: 'append-rejected', from: 2, term: 7, rejected: i(10), hint: at(3, 10) });
  expect(leader.of('append-request')).toMatchObject([{ to: 2, prev: at(1, 3) }]);
});

// Figure 3, Leader Append-Only: "a leader never overwrites or deletes entries in its log; it only appends new entries."
test('nothing that a leader receives in its term touches its log', () => {
  const leader = Solo.leader(diskOf([1, 1, 1], THREE));
  leader.propose('x');
  const before = leader.core.status.last;
  leader.receive({ kind: 'append-rejected', from: 2, term: 2, rejected: i(3), hint: at(0, 0) });
  leader.receive({ kind: 'vote-request', from: 3, term: 99, last: at(98, 99), transfer: false });
  leader.receive(append(1, at(1, 1), [command(1, 2)]));
  leader.receive({ kind: 'heartbeat-response', from: 2, term: 2, sequence: 1, lastIndex: i(0) });
  expect(leader.core.status).toMatchObject({ role: 'leader', last: before });
  expect(leader.persisted.every((p) => p.truncateFrom === null)).toBe(true);
});
