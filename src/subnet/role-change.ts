/**
 * What becomes of the wish that a host vote, or not, so that whoever asks is told: whether the autopilot can follow it,
 * now or after something else. Pure; the rules are the autopilot's, which comes to rest after every change (it is tested
 * for that), so asking it is the answer.
 */
import type { Membership } from '../../raft/core/membership.ts';
import type { ReplicaId } from '../../raft/core/types.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { desiredConfiguration, VOTER_LIMITS } from './fleet.ts';
import type { Member } from './member.ts';
import type { ClusterState } from './state.ts';

export type RoleProspect =
  /** As soon as the hosts that it takes have kept up for a while. */
  | { readonly kind: 'soon' }
  /** What is missing, as a sentence. */
  | { readonly kind: 'waits'; readonly text: string }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export interface RoleQuestion {
  readonly state: ClusterState;
  /** In force. */
  readonly voters: readonly ReplicaId[];
  readonly target: Member;
  readonly wantsVoter: boolean;
}

export function roleProspect(question: RoleQuestion): RoleProspect {
  if (comesTrue(question)) return { kind: 'soon' };
  const { state, voters, target, wantsVoter } = question;
  const count = [...state.members.values()].filter((one) => voters.includes(one.replicaId)).length;
  if (wantsVoter)
    return count >= VOTER_LIMITS.votersMax
      ? { kind: 'refused', refusal: tooMany(count) }
      : waits(`Voters come in pairs: ${target.name} votes as soon as another learner is promoted, too.`);
  return count - PAIR < VOTER_LIMITS.votersMin
    ? { kind: 'refused', refusal: tooFew(target, count) }
    : waits(
        `Voters go in pairs: ${target.name} stops voting when another voter is demoted, or a host joins that may vote.`,
      );
}

const PAIR = 2;

/** Asks the autopilot what it does when everybody is well, until it comes to rest. */
function comesTrue({ state, voters, target, wantsVoter }: RoleQuestion): boolean {
  const members = [...state.members.values()].map((one) =>
    one.nodeId === target.nodeId ? { ...one, wantsVoter } : one,
  );
  const all = members.map((one) => one.replicaId);
  const well = new Set(all);
  const health = { caughtUp: well, stable: well, dead: new Set<ReplicaId>() };
  let current: Membership = { voters, learners: all.filter((id) => !voters.includes(id)) };
  for (;;) {
    const next = desiredConfiguration({
      members,
      peers: state.peers,
      current: { ...current, outgoing: [] },
      health,
    });
    if (next === null) return current.voters.includes(target.replicaId) === wantsVoter;
    current = next;
  }
}

function waits(text: string): RoleProspect {
  return { kind: 'waits', text };
}

function tooMany(count: number): Refusal {
  return refuse(
    'too-many-voters',
    EXIT.failed,
    `The cluster has ${count} voters, and more would only make it slower.`,
    'Demote one first with "tsflannel member demote".',
  );
}

function tooFew({ name }: Member, count: number): Refusal {
  const text =
    count === 1
      ? `Host ${name} is the only voter.`
      : `Without ${name} the cluster would have ${count - 1} voters, and nobody is there to take its place.`;
  const more = count === 1 ? 'Join or promote two other hosts first' : 'Join or promote another host first';
  return refuse(
    'too-few-voters',
    EXIT.failed,
    text,
    `${more} ("tsflannel token create --role voter", "tsflannel member promote").`,
  );
}
