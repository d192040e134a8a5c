/**
 * Raft paper, sections 5.5 and 5.6: follower and candidate crashes, timing and availability. Each test quotes the sentence
 * it holds the core to.
 */
import { expect, test } from 'vitest';
import { diskOf, Network } from '../unit/raft/core/network.ts';
import { Solo, THREE } from '../unit/raft/core/solo.ts';

// "If a follower or candidate crashes, then future RequestVote and AppendEntries RPCs sent to it will fail. Raft handles
// these failures by retrying indefinitely; if the crashed server restarts, then the RPC will complete successfully."
test('a follower that was down for long is sent everything when it is back', () => {
  const network = Network.voters(3);
  const leader = network.elect(1);
  network.crash(3);
  for (let n = 0; n < 20; n++) network.propose(leader, `x${n}`);
  network.run(60_000);
  network.restart(3);
  expect(
    network.runUntil(() => network.node(3).applied.join() === network.node(1).applied.join(), 2_000),
  ).toBe(true);
  expect(network.leader()).toBe(leader);
});

test('a candidate goes on asking voters that are down', () => {
  const solo = new Solo(diskOf([1], THREE));
  solo.campaign();
  for (let n = 0; n < 5; n++) {
    const before = solo.of('vote-request').length;
    solo.advance(250);
    const asked = solo.of('vote-request').length > before;
    expect(asked || solo.of('pre-vote-request').length > 2).toBe(true);
  }
});

// "If a server crashes after completing an RPC but before responding, then it will receive the same RPC again after it
// restarts."
test('a follower that crashes between writing and answering is sent it again', () => {
  const network = Network.voters(3);
  const leader = network.elect(1);
  network.delays = (m) => (m.kind === 'append-accepted' && m.from === 2 ? [] : [1]);
  network.propose(leader, 'x');
  network.run(5);
  network.crash(2);
  network.delays = () => [1];
  network.restart(2);
  expect(network.runUntil(() => network.node(2).applied.some((e) => e.includes(':x@')))).toBe(true);
});

// "Raft RPCs are idempotent, so this causes no harm. For example, if a follower receives an AppendEntries request that
// includes log entries already present in its log, it ignores those entries in the new request."
test('a cluster that gets every message three times, late and out of order, behaves the same', () => {
  const network = Network.voters(3, {}, 3);
  network.delays = () => [1, 1 + Math.floor(network.random() * 40), 1 + Math.floor(network.random() * 400)];
  const leader = network.elect();
  for (let n = 0; n < 50; n++) {
    expect(network.propose(leader, `x${n}`).kind).toBe('appended');
    network.run(10);
  }
  network.run(1_000);
  expect(network.leader()).toBe(leader);
  for (const n of [1, 2, 3]) {
    expect(network.node(n).applied.filter((e) => e.includes(':x'))).toHaveLength(50);
  }
});

// 5.6: "Raft will be able to elect and maintain a steady leader as long as the system satisfies the following timing
// requirement: broadcastTime << electionTimeout << MTBF."
test('a leader stays for as long as messages take well less than an election timeout', () => {
  const network = Network.voters(5, {}, 4);
  const leader = network.elect();
  const { term } = network.status(leader);
  network.delays = () => [1 + Math.floor(network.random() * 300)];
  network.run(120_000);
  for (const n of [1, 2, 3, 4, 5]) expect(network.status(n)).toMatchObject({ term, leader });
});

// "When the leader crashes, the system will be unavailable for roughly the election timeout."
test('after the crash of a leader another one leads within a few election timeouts', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const network = Network.voters(5, {}, seed);
    network.crash(network.elect());
    expect(network.runUntil(() => network.leader() !== null, 3 * 2_000)).toBe(true);
  }
});
