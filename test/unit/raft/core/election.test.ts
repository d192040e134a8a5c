import { describe, expect, test } from 'vitest';
import { decideVote, isUpToDate, type Voter } from '../../../../raft/core/election.ts';
import type { PreVoteRequest, VoteRequest } from '../../../../raft/core/messages.ts';
import { type EntryId, toLogIndex, toTerm } from '../../../../raft/core/types.ts';
import { id } from './network.ts';

const at = (term: number, index: number): EntryId => ({ term: toTerm(term), index: toLogIndex(index) });
const voter = (changes: Partial<Voter> = {}): Voter => ({
  term: toTerm(5),
  vote: null,
  last: at(4, 10),
  leaderIsAlive: false,
  mayVote: true,
  ...changes,
});
const vote = (term: number, last = at(4, 10), transfer = false): VoteRequest => ({
  kind: 'vote-request',
  from: id(2),
  to: id(1),
  term: toTerm(term),
  last,
  transfer,
});
const preVote = (nextTerm: number, last = at(4, 10)): PreVoteRequest => ({
  kind: 'pre-vote-request',
  from: id(2),
  to: id(1),
  term: toTerm(nextTerm - 1),
  nextTerm: toTerm(nextTerm),
  last,
});

describe('a vote', () => {
  test.each([
    ['of a later term', voter(), vote(6), 'granted'],
    ['of the same term, not voted yet', voter(), vote(5), 'granted'],
    ['again to the same candidate', voter({ vote: id(2) }), vote(5), 'granted'],
    ['in a later term than the vote for another', voter({ vote: id(3) }), vote(6), 'granted'],
    ['to a second candidate of a term', voter({ vote: id(3) }), vote(5), 'rejected'],
    ['of an earlier term', voter(), vote(4), 'rejected'],
    ['of an earlier term while a leader is alive', voter({ leaderIsAlive: true }), vote(4), 'rejected'],
    ['of a later term while a leader is alive', voter({ leaderIsAlive: true }), vote(9), 'ignored'],
    ['with a shorter log', voter(), vote(6, at(4, 9)), 'rejected'],
    ['with a longer log of an earlier term', voter(), vote(6, at(3, 99)), 'rejected'],
    ['with a shorter log of a later term', voter(), vote(6, at(5, 1)), 'granted'],
    [
      'again, to the same candidate with a log that became shorter',
      voter({ vote: id(2) }),
      vote(5, at(4, 9)),
      'rejected',
    ],
  ])('%s', (_, state, request, decision) => {
    expect(decideVote(state, request)).toBe(decision);
  });
});

describe('a pre-vote', () => {
  test.each([
    ['for a later term', voter(), preVote(6), 'granted'],
    ['whoever has the vote of the present term', voter({ vote: id(3) }), preVote(6), 'granted'],
    ['for the present term', voter(), preVote(5), 'rejected'],
    ['while a leader is alive', voter({ leaderIsAlive: true }), preVote(9), 'rejected'],
    ['with a shorter log', voter(), preVote(6, at(4, 9)), 'rejected'],
  ])('%s', (_, state, request, decision) => {
    expect(decideVote(state, request)).toBe(decision);
  });
});

test.each([
  [at(2, 1), at(1, 9), true],
  [at(1, 9), at(2, 1), false],
  [at(2, 5), at(2, 5), true],
  [at(2, 4), at(2, 5), false],
  [at(0, 0), at(0, 0), true],
])('isUpToDate(%j, %j) is %s', (candidate, own, expected) => {
  expect(isUpToDate(candidate, own)).toBe(expected);
});
