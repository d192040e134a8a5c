/**
 * Raft paper (Ongaro and Ousterhout, extended version), section 5.1: terms. Each test quotes the sentence it holds the
 * core to.
 */
import { describe, expect, test } from 'vitest';
import { toLogIndex, toTerm } from '../../raft/core/types.ts';
import { digest, diskOf } from '../unit/raft/core/network.ts';
import { at, Solo, THREE } from '../unit/raft/core/solo.ts';

const heartbeat = { kind: 'heartbeat-request', commit: toLogIndex(0), sequence: 1 } as const;
const append = { kind: 'append-request', prev: at(1, 1), entries: [], commit: toLogIndex(0) } as const;
const data = new Uint8Array(3);
const meta = { last: at(4, 9), configuration: THREE };
const chunk = { kind: 'snapshot-chunk', meta, size: 3, digest: digest(data), offset: 0, data } as const;
const refusal = { kind: 'vote-response', granted: false } as const;

function inRole(role: 'follower' | 'candidate' | 'leader'): Solo {
  if (role === 'leader') return Solo.leader();
  const solo = new Solo();
  if (role === 'candidate') solo.campaign();
  expect(solo.core.status.role).toBe(role);
  return solo;
}

// "Followers are passive: they issue no requests on their own but simply respond to requests from leaders and candidates."
test('a follower says nothing of its own before its timeout ends', () => {
  const solo = new Solo();
  solo.advance(solo.core.deadline() - solo.now - 1);
  expect(solo.sent).toEqual([]);
  solo.receive({ ...heartbeat, from: 2, term: 1 });
  expect(solo.sent.map((m) => [m.kind, m.to])).toEqual([['heartbeat-response', 2]]);
});

// "If one server's current term is smaller than the other's, then it updates its current term to the larger value."
// "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state."
describe.each(['follower', 'candidate', 'leader'] as const)('a %s that sees a larger term', (role) => {
  test.each([
    ['in an append', { ...append, from: 2, term: 9 }, 2],
    ['in a heartbeat', { ...heartbeat, from: 2, term: 9 }, 2],
    ['in an answer', { ...refusal, from: 2, term: 9 }, null],
  ])('%s becomes a follower of that term', (_, message, leader) => {
    const solo = inRole(role);
    solo.receive(message);
    expect(solo.core.status).toMatchObject({ role: 'follower', term: 9, leader });
  });
});

test('a vote request with a larger term is adopted, also when the vote is refused', () => {
  const solo = new Solo(diskOf([1, 1], THREE));
  solo.receive({ kind: 'vote-request', from: 2, term: 9, last: at(1, 1), transfer: false });
  expect(solo.core.status).toMatchObject({ role: 'follower', term: 9 });
  expect(solo.of('vote-response')).toMatchObject([{ term: 9, granted: false }]);
});

// "If a server receives a request with a stale term number, it rejects the request."
describe('a request with a stale term', () => {
  test('changes nothing, and its sender learns the term', () => {
    const solo = new Solo(diskOf([1], THREE, 5));
    const before = { ...solo.core.status, deadline: solo.core.deadline() };
    for (const message of [append, heartbeat, chunk]) solo.receive({ ...message, from: 2, term: 4 });
    solo.receive({ kind: 'vote-request', from: 2, term: 4, last: at(3, 9), transfer: false });
    expect({ ...solo.core.status, deadline: solo.core.deadline() }).toEqual(before);
    expect(solo.sent.map((m) => [m.kind, m.term])).toEqual([
      ['heartbeat-response', 5],
      ['heartbeat-response', 5],
      ['heartbeat-response', 5],
      ['vote-response', 5],
    ]);
    expect(solo.of('vote-response')).toMatchObject([{ granted: false }]);
  });
});

// "Each server stores a current term number, which increases monotonically over time."
test('the term never goes back, also not by a restart', () => {
  const solo = new Solo(diskOf([1], THREE, 5));
  solo.receive({ ...heartbeat, from: 2, term: 7 });
  solo.receive({ ...heartbeat, from: 3, term: 6 });
  expect(solo.core.status.term).toBe(7);
  const { hardState } = solo.persisted.at(-1) ?? { hardState: solo.disk.hardState };
  expect(hardState.term).toBe(7);
  expect(new Solo({ ...solo.disk, hardState }).core.status.term).toBe(toTerm(7));
});
