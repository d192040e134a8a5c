/**
 * Who gets a vote: one pure function for pre-votes and votes (paper 5.2, 5.4.1 and 6, thesis 9.6). The voter's own
 * configuration is deliberately not asked: a replica may have been made a voter without knowing it yet, and without its
 * vote there might be no leader that could tell it.
 */
import type { PreVoteRequest, VoteRequest } from './messages.ts';
import type { EntryId, ReplicaId, Term } from './types.ts';

export interface Voter {
  readonly term: Term;
  /** Whom this replica voted for in `term`. */
  readonly vote: ReplicaId | null;
  readonly last: EntryId;
  /** It leads, or heard from a leader of `term` within the minimum election timeout. */
  readonly leaderIsAlive: boolean;
  /** False just after a restart: who knows that this disk is an old copy must have had the time to say so. */
  readonly mayVote: boolean;
}

/** `ignored`: not even the term of the request may be adopted. */
export type VoteDecision = 'granted' | 'rejected' | 'ignored';

export function decideVote(voter: Voter, request: PreVoteRequest | VoteRequest): VoteDecision {
  const upToDate = isUpToDate(request.last, voter.last);
  if (request.kind === 'pre-vote-request') {
    // Always answered: a stale asker learns the term from the rejection.
    const wouldVote = voter.mayVote && !voter.leaderIsAlive;
    return wouldVote && request.nextTerm > voter.term && upToDate ? 'granted' : 'rejected';
  }
  if (request.term < voter.term) return 'rejected';
  // Otherwise a removed or long separated replica could depose a working leader with its higher term.
  if (!voter.mayVote || (voter.leaderIsAlive && !request.transfer)) return 'ignored';
  const free = request.term > voter.term || voter.vote === null || voter.vote === request.from;
  return free && upToDate ? 'granted' : 'rejected';
}

/** Paper 5.4.1: the later last term wins, and with equal terms the longer log. */
export function isUpToDate(candidate: EntryId, voter: EntryId): boolean {
  if (candidate.term !== voter.term) return candidate.term > voter.term;
  return candidate.index >= voter.index;
}
