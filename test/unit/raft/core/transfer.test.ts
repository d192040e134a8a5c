/** Leadership transfer: who may be asked, when it happens, and that it always ends. */
import { describe, expect, test } from 'vitest';
import { toLogIndex } from '../../../../raft/core/types.ts';
import { diskOf, id, Network } from './network.ts';
import { at, Solo, THREE } from './solo.ts';

const i = toLogIndex;

function threeLedBy1(): Network {
  const network = Network.voters(3);
  network.elect(1);
  return network;
}

function transfer(network: Network, target: number): unknown {
  const leader = network.leader() ?? 0;
  const result = network.core(leader).transferLeadership(id(target), network.now);
  network.drain(leader);
  return result;
}

describe('a transfer', () => {
  test('makes the target leader without waiting for any timeout, though the old leader lives', () => {
    const network = threeLedBy1();
    expect(transfer(network, 3)).toEqual({ kind: 'started' });
    expect(network.runUntil(() => network.leader() === 3, 100)).toBe(true);
    expect(network.status(1)).toMatchObject({ role: 'follower', transferTarget: null });
    expect(network.sent.filter((m) => m.kind === 'vote-request').slice(-2)).toMatchObject([
      { from: 3, transfer: true },
      { from: 3, transfer: true },
    ]);
  });

  test('waits until the target has the whole log, and takes no proposals meanwhile', () => {
    const network = threeLedBy1();
    network.delays = (m) => (m.kind === 'append-request' && m.to === 3 ? [50] : [1]);
    network.propose(1, 'x');
    transfer(network, 3);
    expect(network.propose(1, 'y')).toEqual({ kind: 'transferring' });
    expect(network.change(1, [1, 2])).toEqual({ kind: 'in-progress' });
    expect(network.sent.some((m) => m.kind === 'timeout-now')).toBe(false);
    expect(network.runUntil(() => network.leader() === 3, 500)).toBe(true);
    expect(network.propose(3, 'z')).toMatchObject({ kind: 'appended' });
  });

  test('to a target that is cut off ends after one election timeout, and writes go on', () => {
    const network = threeLedBy1();
    network.isolate(3);
    transfer(network, 3);
    const begun = network.now;
    expect(network.runUntil(() => network.status(1).transferTarget === null, 1_001)).toBe(true);
    expect(network.now - begun).toBe(1_000);
    expect(network.status(1).role).toBe('leader');
    expect(network.propose(1, 'x')).toMatchObject({ kind: 'appended' });
  });

  test('asks again when the request is lost', () => {
    const network = threeLedBy1();
    let lost = 0;
    network.delays = (m) => (m.kind === 'timeout-now' && lost++ < 1 ? [] : [1]);
    transfer(network, 2);
    expect(network.runUntil(() => network.leader() === 2, 900)).toBe(true);
    expect(lost).toBe(2);
  });

  test('one at a time, to another voter, by the leader', () => {
    const solo = Solo.leader(diskOf([1], THREE));
    expect(solo.transferTo(1)).toMatchObject({ kind: 'invalid' });
    expect(solo.transferTo(9)).toMatchObject({ kind: 'invalid' });
    expect(solo.transferTo(2)).toEqual({ kind: 'started' });
    expect(solo.transferTo(3)).toEqual({ kind: 'in-progress' });
    solo.receive({ kind: 'heartbeat-response', from: 2, term: 9, sequence: 0, lastIndex: i(1) });
    expect(solo.transferTo(2)).toEqual({ kind: 'not-leader', leader: null });
  });
});

describe('the request to campaign', () => {
  const follower = (): Solo => {
    const solo = new Solo(diskOf([1], THREE));
    solo.receive({ kind: 'heartbeat-request', from: 2, term: 2, commit: i(0), sequence: 1 });
    solo.forget();
    return solo;
  };

  test('is heeded from the leader', () => {
    const solo = follower();
    solo.receive({ kind: 'timeout-now', from: 2, term: 2 });
    expect(solo.of('vote-request')).toMatchObject([
      { to: 2, term: 3, transfer: true, last: at(1, 1) },
      { to: 3, term: 3, transfer: true },
    ]);
  });

  test.each([
    ['of another voter', 3, 2],
    ['of an earlier term', 2, 1],
    ['of a later term that nobody leads here', 3, 3],
  ])('is not heeded %s', (_, from, term) => {
    const solo = follower();
    solo.receive({ kind: 'timeout-now', from, term });
    expect(solo.of('vote-request')).toEqual([]);
    expect(solo.core.status).toMatchObject({ role: 'follower', term: 2, leader: 2 });
  });

  test('asks for pre-votes again when the election that it began fails', () => {
    const solo = follower();
    solo.receive({ kind: 'timeout-now', from: 2, term: 2 });
    for (const from of [2, 3]) solo.receive({ kind: 'vote-response', from, term: 3, granted: false });
    solo.forget();
    solo.timeOut();
    expect(solo.of('vote-request')).toEqual([]);
  });
});
