/**
 * Which of the cluster's hosts are to vote: what the member records say, in the words of the autopilot
 * (raft/runtime/autopilot.ts), which decides. Pure. A host votes because it was named by `--peers`, asked with `--voter`
 * or was promoted; where nobody was named, the first voters are the longest-standing hosts. `--learner` and a demotion
 * keep a host from voting; anybody else may take the place of a voter that is lost.
 */
import type { Membership } from '../../raft/core/membership.ts';
import type { Configuration, ReplicaId } from '../../raft/core/types.ts';
import { type AutopilotLimits, nextMembership } from '../../raft/runtime/autopilot.ts';
import type { PeerHealthReport } from '../../raft/runtime/peer-health.ts';
import type { Ip } from '../net/ip.ts';
import type { Member } from './member.ts';

/** Three is also how many voters a cluster gets by itself where nobody was named. */
export const VOTER_LIMITS: AutopilotLimits = { votersMin: 3, votersMax: 7 };

export interface FleetInput {
  readonly members: Iterable<Member>;
  /** Addresses named by `--peers`. */
  readonly peers: readonly Ip[];
  readonly current: Configuration;
  readonly health: PeerHealthReport;
}

/** Null when the configuration in force is the right one, or a change is still under way. */
export function desiredConfiguration({ members, peers, current, health }: FleetInput): Membership | null {
  const byAge = [...members].sort((a, b) => a.replicaId - b.replicaId);
  const voting = new Set(current.voters);
  const voters = byAge.filter((one) => voting.has(one.replicaId));
  const learners = byAge.filter((one) => !voting.has(one.replicaId));
  const asked = idsOf(learners.filter((one) => one.wantsVoter === true));
  const unasked = idsOf(learners.filter((one) => one.wantsVoter === null));
  // One voter tolerates no failure, so hosts that were asked for need not prove themselves before it gets company.
  const trusted = voters.length === 1 ? asked.filter((id) => health.caughtUp.has(id)) : [];
  const ready = new Set([...health.stable, ...trusted]);
  const room = peers.length > 0 ? 0 : VOTER_LIMITS.votersMin - voters.length;
  const filling = [...asked, ...unasked].filter((id) => ready.has(id)).slice(0, Math.max(0, room));
  return nextMembership({
    configuration: current,
    members: idsOf(byAge),
    wanted: [...asked, ...filling],
    spares: unasked,
    unwanted: new Set(idsOf(voters.filter((one) => one.wantsVoter === false))),
    ready,
    dead: health.dead,
    limits: VOTER_LIMITS,
  });
}

function idsOf(members: readonly Member[]): readonly ReplicaId[] {
  return members.map((one) => one.replicaId);
}
