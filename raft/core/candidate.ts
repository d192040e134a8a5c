/**
 * Elections (paper 5.2, thesis 9.6): a pre-vote without any change of state, then the vote. The request for votes leaves
 * only when the own vote and the whole own log are durable: an answer that arrives after a crash must not elect a replica
 * that has forgotten entries which the voters took into account.
 */
import { decideVote } from './election.ts';
import { becomeLeader } from './leader.ts';
import { isVoter, members } from './membership.ts';
import type { PreVoteRequest, PreVoteResponse, TimeoutNow, VoteRequest, VoteResponse } from './messages.ts';
import { voteResult } from './quorum.ts';
import type { CandidateRole, Replica } from './replica.ts';
import { assert, type ReplicaId, toTerm } from './types.ts';

/** Asks whether an election would be won. */
export function startPreVote(replica: Replica): void {
  assert(
    replica.mayCampaign && replica.role.kind !== 'leader',
    'only a voter that does not lead can campaign',
  );
  const role = candidate(replica, 'pre-vote');
  role.votes.set(replica.id, true);
  requestVotes(replica, role);
  count(replica, role);
}

/**
 * The leader wishes it: no pre-vote, and no voter refuses because that leader is alive (thesis 4.2.3). Only from the
 * leader that is followed: an old request must not depose a newer one.
 */
export function handleTimeoutNow(replica: Replica, message: TimeoutNow): void {
  const { role, term } = replica;
  if (message.term !== term || role.kind !== 'follower' || role.leader !== message.from) return;
  if (replica.mayCampaign) startVote(replica, true);
}

function startVote(replica: Replica, transfer: boolean): void {
  replica.enterTerm(toTerm(replica.term + 1));
  replica.vote = replica.id;
  requestVotes(replica, candidate(replica, 'vote', transfer));
}

function candidate(replica: Replica, phase: CandidateRole['phase'], transfer = false): CandidateRole {
  const role: CandidateRole = {
    kind: 'candidate',
    phase,
    transfer,
    votes: new Map(),
    electionAt: replica.now + replica.randomTimeout(),
    retryAt: replica.now + replica.options.heartbeatMs,
  };
  replica.role = role;
  return role;
}

function requestVotes(replica: Replica, role: CandidateRole): void {
  const { id, term, log } = replica;
  for (const to of members(log.configuration)) {
    if (to === id || role.votes.has(to) || !isVoter(log.configuration, to)) continue;
    if (role.phase === 'pre-vote') {
      const nextTerm = toTerm(term + 1);
      replica.send({ kind: 'pre-vote-request', from: id, to, term, nextTerm, last: log.last });
    } else {
      const { transfer } = role;
      replica.sendAfterPersist({ kind: 'vote-request', from: id, to, term, last: log.last, transfer });
    }
  }
}

/** Asks again who has not answered, and begins anew when the time is over. */
export function tickCandidate(replica: Replica, role: CandidateRole): void {
  if (replica.now >= role.electionAt) {
    if (replica.mayCampaign) startPreVote(replica);
    else replica.becomeFollower(replica.term, null);
  } else if (replica.now >= role.retryAt) {
    role.retryAt = replica.now + replica.options.heartbeatMs;
    requestVotes(replica, role);
  }
}

/** The own vote counts when it is durable. */
export function ownVotePersisted(replica: Replica, role: CandidateRole): void {
  const { durable } = replica.journal;
  if (role.phase !== 'vote' || durable.term !== replica.term || durable.vote !== replica.id) return;
  role.votes.set(replica.id, true);
  count(replica, role);
}

export function handlePreVoteRequest(replica: Replica, message: PreVoteRequest): void {
  const { id, term } = replica;
  replica.send({
    kind: 'pre-vote-response',
    from: id,
    to: message.from,
    term,
    nextTerm: message.nextTerm,
    granted: decideVote(voterOf(replica), message) === 'granted',
  });
}

export function handleVoteRequest(replica: Replica, message: VoteRequest): void {
  const decision = decideVote(voterOf(replica), message);
  if (decision === 'ignored') return;
  if (message.term > replica.term) replica.becomeFollower(message.term, null);
  const granted = decision === 'granted';
  if (granted) {
    replica.vote = message.from;
    // Paper 5.2: who grants a vote waits for the outcome.
    replica.becomeFollower(replica.term, null);
  }
  const { id, term } = replica;
  replica.sendAfterPersist({ kind: 'vote-response', from: id, to: message.from, term, granted });
}

function voterOf(replica: Replica): Parameters<typeof decideVote>[0] {
  const { term, vote, leaderIsAlive, mayVote, log } = replica;
  return { term, vote, leaderIsAlive, mayVote, last: log.last };
}

export function handlePreVoteResponse(replica: Replica, message: PreVoteResponse): void {
  const { role } = replica;
  if (role.kind !== 'candidate' || role.phase !== 'pre-vote') return;
  if (message.nextTerm === replica.term + 1) answered(replica, role, message.from, message.granted);
}

export function handleVoteResponse(replica: Replica, message: VoteResponse): void {
  const { role } = replica;
  if (role.kind !== 'candidate' || role.phase !== 'vote') return;
  answered(replica, role, message.from, message.granted);
}

function answered(replica: Replica, role: CandidateRole, from: ReplicaId, granted: boolean): void {
  if (role.votes.has(from)) return;
  role.votes.set(from, granted);
  count(replica, role);
}

function count(replica: Replica, role: CandidateRole): void {
  const result = voteResult(replica.log.configuration, (id) => role.votes.get(id));
  if (result === 'lost') replica.becomeFollower(replica.term, null);
  if (result !== 'won') return;
  if (role.phase === 'pre-vote') startVote(replica, false);
  else becomeLeader(replica);
}
