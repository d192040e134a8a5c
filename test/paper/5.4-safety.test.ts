/**
 * Raft paper, section 5.4: safety. Each test quotes the sentence it holds the core to; figures 7 and 8 are replayed with
 * the logs of the paper.
 */
import { describe, expect, test } from 'vitest';
import { toLogIndex, toTerm } from '../../raft/core/types.ts';
import { configuration, diskOf, Network } from '../unit/raft/core/network.ts';
import { at, Solo, THREE } from '../unit/raft/core/solo.ts';

const i = toLogIndex;
const termsOf = (network: Network, n: number): number[] => network.node(n).disk.entries.map((e) => e.term);

// "The RPC includes information about the candidate's log, and the voter denies its vote if its own log is more up-to-date
// than that of the candidate."
// "If the logs have last entries with different terms, then the log with the later term is more up-to-date. If the logs
// end with the same term, then whichever log is longer is more up-to-date."
describe('a voter whose log ends in (2, 3)', () => {
  test.each([
    [at(2, 3), true],
    [at(2, 4), true],
    [at(3, 1), true],
    [at(2, 2), false],
    [at(1, 9), false],
  ])('asked by one that ends in %j grants: %s', (last, granted) => {
    const solo = new Solo(diskOf([1, 1, 2], THREE));
    solo.receive({ kind: 'pre-vote-request', from: 2, term: 3, nextTerm: toTerm(4), last });
    solo.receive({ kind: 'vote-request', from: 2, term: 4, last, transfer: false });
    expect(solo.of('pre-vote-response')).toMatchObject([{ granted }]);
    expect(solo.of('vote-response')).toMatchObject([{ granted }]);
  });
});

// "Raft uses the voting process to prevent a candidate from winning an election unless its log contains all committed
// entries."
test('who lacks a committed entry is not elected, however often it tries', () => {
  const network = Network.voters(3);
  const leader = network.elect(1);
  network.isolate(3);
  network.propose(leader, 'x');
  network.run(100);
  network.heal();
  network.partition([3], [1]);
  network.crash(1);
  for (let n = 0; n < 5; n++) network.campaign(3);
  expect(network.elect()).toBe(2);
  expect(network.node(2).applied.some((e) => e.includes(':x@'))).toBe(true);
});

/** Figure 7: the leader of term 8 and what its followers may look like. */
const FIGURE_7: Readonly<Record<string, number[]>> = {
  leader: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
  a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
  b: [1, 1, 1, 4],
  c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
  d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
  e: [1, 1, 1, 4, 4, 4, 4],
  f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
};

// "... the leader must find the latest log entry where the two logs agree, delete any entries in the follower's log after
// that point, and send the follower all of the leader's entries after that point."
describe('figure 7', () => {
  const all = configuration([1, 2, 3, 4, 5, 6, 7]);
  const logs = Object.values(FIGURE_7);

  function cluster(): Network {
    const network = new Network();
    logs.forEach((terms, n) => {
      network.add(n + 1, diskOf(terms, all, 7));
    });
    return network;
  }

  test('all followers end with the leader log', () => {
    const network = cluster();
    network.elect(1);
    const same = network.runUntil(() => [2, 3, 4, 5, 6, 7].every((n) => network.status(n).commit === 11));
    expect(same).toBe(true);
    for (const n of [1, 2, 3, 4, 5, 6, 7])
      expect(termsOf(network, n)).toEqual([...(FIGURE_7['leader'] ?? []), 8]);
  });

  test('with one rejection a conflicting term, not one an entry', () => {
    const network = cluster();
    network.elect(1);
    network.runUntil(() => [2, 3, 4, 5, 6, 7].every((n) => network.status(n).commit === 11));
    const rejections = (n: number): number =>
      network.sent.filter((m) => m.kind === 'append-rejected' && m.from === n).length;
    // f conflicts in two terms over eight entries.
    expect(rejections(7)).toBeLessThanOrEqual(2);
    expect(rejections(3)).toBeLessThanOrEqual(1);
  });

  test('whoever is elected instead', () => {
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const network = new Network({}, seed);
      logs.forEach((terms, n) => {
        network.add(n + 1, diskOf(terms, all, 7));
      });
      const leader = network.elect();
      const done = (): boolean =>
        [1, 2, 3, 4, 5, 6, 7].every((n) => network.status(n).commit === network.status(leader).last.index);
      expect(network.runUntil(done)).toBe(true);
      for (const n of [1, 2, 3, 4, 5, 6, 7]) expect(termsOf(network, n)).toEqual(termsOf(network, leader));
    }
  });
});

// "... log entries retain their original term numbers when a leader replicates entries from previous terms."
test('a leader sends entries of earlier terms with the terms that they have', () => {
  const leader = Solo.leader(diskOf([1, 1, 4, 4, 6], THREE, 7));
  leader.forget();
  leader.receive({ kind: 'append-rejected', from: 2, term: 8, rejected: i(5), hint: at(1, 1) });
  expect(leader.of('append-request')).toMatchObject([
    { to: 2, prev: at(1, 1), entries: [{ term: 1 }, { term: 4 }, { term: 4 }, { term: 6 }, { term: 8 }] },
  ]);
});

// "Raft never commits log entries from previous terms by counting replicas. Only log entries from the leader's current
// term are committed by counting replicas."
describe('figure 8', () => {
  const FIVE = configuration([1, 2, 3, 4, 5]);

  test('(c): an entry of term 2 on a majority is not committed by counting', () => {
    const leader = Solo.leader(diskOf([1, 2], FIVE, 3));
    for (const from of [2, 3, 4, 5]) {
      leader.receive({ kind: 'append-accepted', from, term: 4, match: i(2) });
    }
    expect(leader.core.status.commit).toBe(0);
    leader.receive({ kind: 'append-accepted', from: 2, term: 4, match: i(3) });
    leader.receive({ kind: 'append-accepted', from: 3, term: 4, match: i(3) });
    expect(leader.core.status.commit).toBe(3);
  });

  /** S1 has (2,2) and made it reach S3; S5 has (3,2). S1 leads in term 4. */
  function untilC(): Network {
    const network = new Network();
    const terms: Record<number, number[]> = { 1: [1, 2], 2: [1, 2], 3: [1], 4: [1], 5: [1, 3] };
    for (const [n, log] of Object.entries(terms)) network.add(Number(n), diskOf(log, FIVE, 3));
    // In (c) S1 dies before its entry of term 4 leaves, but after (2,2) has reached S3.
    network.delays = (m) => (m.kind === 'append-request' && m.entries.some((e) => e.term === 4) ? [] : [1]);
    network.partition([1, 2, 3, 4], [5]);
    network.campaign(1);
    network.runUntil(() => network.leader() === 1);
    return network;
  }

  test('(d): S5 may still be elected and overwrite it', () => {
    const network = untilC();
    network.run(50);
    expect(network.status(1).commit).toBe(0);
    network.crash(1);
    network.heal();
    network.partition([2], [1, 3, 4, 5]);
    network.delays = () => [1];
    network.elect(5);
    network.restart(1);
    network.heal();
    expect(network.runUntil(() => [1, 2, 3, 4, 5].every((n) => network.status(n).commit >= 3))).toBe(true);
    network.run(50);
    for (const n of [1, 2, 3, 4, 5]) expect(termsOf(network, n).slice(0, 2)).toEqual([1, 3]);
  });

  test('(e): once an entry of term 4 is on a majority, S5 cannot win', () => {
    const network = untilC();
    network.delays = () => [1];
    expect(network.runUntil(() => network.status(1).commit === 3)).toBe(true);
    network.crash(1);
    network.heal();
    for (let n = 0; n < 3; n++) network.campaign(5);
    expect(network.elect()).not.toBe(5);
    expect(network.runUntil(() => [2, 3, 4, 5].every((n) => network.status(n).commit >= 4))).toBe(true);
    network.run(50);
    for (const n of [2, 3, 4, 5]) expect(termsOf(network, n).slice(0, 3)).toEqual([1, 2, 4]);
  });
});
