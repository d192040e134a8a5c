/**
 * Which replicas should vote and which should listen. Pure policy: it looks at the member records, at who is connected
 * and caught up, and at the configuration in force, and names the next configuration or none. Voters are 1, 3, 5 or 7
 * and come in pairs, in one change each, so that an even number (which tolerates no more failures than the odd one
 * below it) is never chosen. A voter that is a member stays one: demotion is not decided here.
 */
import type { Configuration, ReplicaId } from '../../raft/core/types.ts';
import type { Ip } from '../net/ip.ts';
import type { Member } from './member.ts';

export const VOTERS_MAX = 7;
/** How many voters a cluster gets by itself where nobody was named. */
const VOTERS_UNASKED = 3;

export interface FleetInput {
  readonly members: Iterable<Member>;
  /** Addresses named by `--peers`. */
  readonly peers: readonly Ip[];
  readonly current: Configuration;
  /** Learners that are connected and have the whole log. */
  readonly caughtUp: ReadonlySet<ReplicaId>;
}

export type DesiredConfiguration = Pick<Configuration, 'voters' | 'learners'>;

/** Null when the configuration in force is the right one, or a change is still under way. */
export function desiredConfiguration(input: FleetInput): DesiredConfiguration | null {
  const { current } = input;
  if (current.outgoing.length > 0) return null;
  const members = [...input.members].sort((a, b) => a.replicaId - b.replicaId);
  const voting = new Set(current.voters);
  const kept = members.filter((one) => voting.has(one.replicaId));
  if (kept.length === 0) return null; // nobody left who could decide it
  const promoted = promotions(kept.length, candidates(input, members, kept));
  const voters = new Set([...kept, ...promoted].map((one) => one.replicaId));
  const desired = {
    voters: [...voters].sort((a, b) => a - b),
    learners: members.map((one) => one.replicaId).filter((id) => !voters.has(id)),
  };
  return same(desired.voters, current.voters) && same(desired.learners, current.learners) ? null : desired;
}

/** At most one pair at a time, or the one that makes an even number odd. */
function promotions(voters: number, willing: readonly Member[]): readonly Member[] {
  const step = voters % 2 === 0 ? 1 : 2;
  return willing.length >= step && voters + step <= VOTERS_MAX ? willing.slice(0, step) : [];
}

/** Who may vote next: those that were named or asked first, then, where nobody was named, the longest-standing. */
function candidates(
  { peers, current, caughtUp }: FleetInput,
  members: readonly Member[],
  kept: readonly Member[],
): readonly Member[] {
  const learning = new Set(current.learners);
  const ready = members.filter((one) => learning.has(one.replicaId) && caughtUp.has(one.replicaId));
  const asked = ready.filter(isAsked);
  if (peers.length > 0) return asked;
  const room = Math.max(0, VOTERS_UNASKED - kept.length - asked.length);
  const unasked = ready.filter((one) => one.wantsVoter === null);
  return [...asked, ...unasked.slice(0, room)];
}

/** By `--peers` or `--voter`: decided when it joined. */
function isAsked(one: Member): boolean {
  return one.wantsVoter === true;
}

function same(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
