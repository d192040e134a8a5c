/**
 * What counts as a quorum: a majority of `voters` and, while the configuration is joint, also a majority of `outgoing`
 * (paper section 6). Learners are never looked at. Written to be read, not to be fast: nine voters at most.
 */
import { assert, type Configuration, type ReplicaId } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The halves that must each agree. */
function halves(configuration: Configuration): readonly (readonly ReplicaId[])[] {
  const { voters, outgoing } = configuration;
  return outgoing.length > 0 ? [voters, outgoing] : [voters];
}

function majority(size: number): number {
  return Math.floor(size / 2) + 1;
}

/**
 * The highest value that a quorum has reached. Over match indexes that is the index that may be committed, over
 * the times of last contact it is when a quorum was last heard.
 */
export function quorumReached<T extends number>(
  configuration: Configuration,
  reachedBy: (id: ReplicaId) => T,
): T {
  let least: T | undefined;
  for (const ids of halves(configuration)) {
    const value = ids.map(reachedBy).sort(descending)[majority(ids.length) - 1];
    assert(value !== undefined, 'a configuration without voters has no quorum');
    if (least === undefined || value < least) least = value;
  }
  assert(least !== undefined, 'a configuration has at least one half');
  return least;
}

function descending(a: number, b: number): number {
  return b - a;
}

/** `undefined` = has not answered. A replica without voters in its configuration never wins. */
export function voteResult(
  configuration: Configuration,
  answerOf: (id: ReplicaId) => boolean | undefined,
): VoteResult {
  const results = halves(configuration).map((ids): VoteResult => {
    const granted = ids.filter((id) => answerOf(id) === true).length;
    const refused = ids.filter((id) => answerOf(id) === false).length;
    if (granted >= majority(ids.length)) return 'won';
    return ids.length - refused < majority(ids.length) ? 'lost' : 'pending';
  });
  if (results.includes('lost')) return 'lost';
  return results.includes('pending') ? 'pending' : 'won';
}
