/**
 * Who should vote: the next membership of a cluster, or none. Pure policy in the manner of Consul's autopilot: no clock,
 * no I/O; peer-health.ts tells who is ready and who is dead, the application who belongs to the cluster and whom it
 * wants. Asked again after every change, it comes to rest.
 *
 * Everybody starts as a learner. Voters are odd in number, for an even number tolerates no more failures than the odd
 * one below it, so they come in pairs, in one joint change. A voter that is dead or not wanted any more goes in the very
 * change that brings another in its place; that is a minority at a time, so a quorum of those who stay has been there
 * throughout. Without a replacement a dead voter stays: a number that shrinks by itself ends at one.
 */
import { isJoint, type Membership } from '../core/membership.ts';
import type { Configuration, ReplicaId } from '../core/types.ts';

export interface AutopilotLimits {
  /** Voters that are there stay that many, unless their hosts leave. Odd. */
  readonly votersMin: number;
  /** Odd. */
  readonly votersMax: number;
}

export interface AutopilotInput {
  /** In force. */
  readonly configuration: Configuration;
  /** Who belongs to the cluster. Whoever else is in the configuration goes, voter or not. */
  readonly members: Iterable<ReplicaId>;
  /** Learners that are to vote beside those who do, best first. */
  readonly wanted: readonly ReplicaId[];
  /** Learners that may vote in the place of another, best first; those that are wanted go before them. */
  readonly spares: readonly ReplicaId[];
  /** Who is not to vote, or not any more. */
  readonly unwanted: ReadonlySet<ReplicaId>;
  /** Learners that may be promoted now. */
  readonly ready: ReadonlySet<ReplicaId>;
  /** Who will not come back soon. */
  readonly dead: ReadonlySet<ReplicaId>;
  readonly limits: AutopilotLimits;
}

/** Null when nothing is to change, or a change is still under way. One step at a time. */
export function nextMembership(input: AutopilotInput): Membership | null {
  const { configuration } = input;
  if (isJoint(configuration)) return null;
  const members = new Set(input.members);
  const kept = configuration.voters.filter((voter) => members.has(voter));
  if (kept.length === 0) return null; // nobody is left who could decide it
  const voters = new Set(nextVoters(input, kept, members));
  const membership = {
    voters: [...voters].sort(ascending),
    learners: [...members].filter((id) => !voters.has(id)).sort(ascending),
  };
  const isInForce =
    same(membership.voters, configuration.voters) && same(membership.learners, configuration.learners);
  return isInForce ? null : membership;
}

function nextVoters(
  input: AutopilotInput,
  kept: readonly ReplicaId[],
  members: ReadonlySet<ReplicaId>,
): readonly ReplicaId[] {
  const { configuration, limits, ready, unwanted, dead } = input;
  const learning = new Set(configuration.learners);
  const isGood = (id: ReplicaId): boolean => !unwanted.has(id) && !dead.has(id);
  const isReady = (id: ReplicaId): boolean =>
    learning.has(id) && members.has(id) && ready.has(id) && isGood(id);
  const wanted = [...new Set(input.wanted)].filter(isReady);
  const substitutes = [...new Set([...wanted, ...input.spares])].filter(isReady);
  const isEven = kept.length % 2 === 0;
  const without = (going: readonly ReplicaId[]): readonly ReplicaId[] =>
    kept.filter((voter) => !going.includes(voter));

  // A voter has left: the next one takes its place.
  if (isEven && substitutes.length > 0) return [...kept, ...substitutes.slice(0, 1)];

  const demoted = kept.filter((voter) => unwanted.has(voter));
  const replaceable = [...demoted, ...kept.filter((voter) => dead.has(voter) && !unwanted.has(voter))];
  const exchanged = Math.min(replaceable.length, substitutes.length, minority(kept.length));
  if (exchanged > 0) return [...without(replaceable.slice(0, exchanged)), ...substitutes.slice(0, exchanged)];

  const step = isEven ? 1 : 2;
  if (demoted.length >= step && kept.length - step >= limits.votersMin)
    return without(demoted.slice(0, step));
  if (wanted.length >= step && kept.length + step <= limits.votersMax)
    return [...kept, ...wanted.slice(0, step)];
  return kept;
}

/** As many as may go while the others are still a quorum. */
function minority(voters: number): number {
  return Math.floor((voters - 1) / 2);
}

function ascending(a: ReplicaId, b: ReplicaId): number {
  return a - b;
}

function same(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
