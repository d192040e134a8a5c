/**
 * Plans membership changes: pure functions from configuration to configuration. A change of voters always goes through
 * a joint phase, whatever its size; a change of learners alone touches no quorum and takes one step. Whether a change
 * may start now (nothing in flight, leader has committed in its own term) is the leader's question, not asked here.
 */
import type { Configuration, ReplicaId } from './types.ts';

export const EMPTY_CONFIGURATION: Configuration = { voters: [], outgoing: [], learners: [] };

export interface Membership {
  readonly voters: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

export type Plan =
  | { readonly kind: 'planned'; readonly configuration: Configuration }
  | { readonly kind: 'invalid'; readonly reason: string };

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** Counts in an election or for a commit, in either half. */
export function isVoter(configuration: Configuration, id: ReplicaId): boolean {
  return configuration.voters.includes(id) || configuration.outgoing.includes(id);
}

export function isMember(configuration: Configuration, id: ReplicaId): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id);
}

/** Everybody the leader replicates to, itself included. */
export function members(configuration: Configuration): readonly ReplicaId[] {
  return sorted([...configuration.voters, ...configuration.outgoing, ...configuration.learners]);
}

/** The next configuration on the way from `current` to `target`: joint when the voters change. */
export function planChange(current: Configuration, target: Membership): Plan {
  const voters = sorted(target.voters);
  const learners = sorted(target.learners);
  if (isJoint(current)) return invalid('the current configuration is joint');
  if (voters.length === 0) return invalid('a configuration needs at least one voter');
  if (voters.length !== target.voters.length || learners.length !== target.learners.length) {
    return invalid('a replica is named twice');
  }
  const both = voters.find((id) => learners.includes(id));
  if (both !== undefined) return invalid(`replica ${both} cannot be voter and learner`);
  const sameVoters = sameIds(voters, current.voters);
  if (sameVoters && sameIds(learners, current.learners)) return invalid('nothing would change');
  return {
    kind: 'planned',
    configuration: { voters, outgoing: sameVoters ? [] : current.voters, learners },
  };
}

/** The end of the joint phase: only the incoming half stays. */
export function leaveJoint(joint: Configuration): Configuration {
  return { voters: joint.voters, outgoing: [], learners: joint.learners };
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return sameIds(a.voters, b.voters) && sameIds(a.outgoing, b.outgoing) && sameIds(a.learners, b.learners);
}

function invalid(reason: string): Plan {
  return { kind: 'invalid', reason };
}

function sorted(ids: readonly ReplicaId[]): readonly ReplicaId[] {
  return [...new Set(ids)].toSorted((a, b) => a - b);
}

function sameIds(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
