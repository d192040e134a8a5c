/**
 * What a person may change about the members, from any voter: who is to vote, who leads, who has to go. Everything is
 * decided on the cluster's newest state and by the same rules as what happens by itself; what would cost the quorum is
 * refused with what has to be there first.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Replica } from '../cluster/replica.ts';
import type { Call } from '../control/agent-api.ts';
import type { MemberRole, NewLeader, RemovedMember, RoleChange } from '../control/answers.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { NodeRef } from '../observe/agent-facts.ts';
import type { Member } from '../subnet/member.ts';
import { matchMember } from '../subnet/member-match.ts';
import { roleProspect } from '../subnet/role-change.ts';
import { type ClusterState, memberByReplica, ownLease } from '../subnet/state.ts';
import { change } from './log-change.ts';
import { quorumRefusal } from './quorum.ts';

/** Between looks at the configuration. */
const POLL_MS = 20;

/** Notes the wish, and waits for it to come true where nothing else is missing. */
export async function changeRole(
  replica: Replica,
  node: string,
  role: MemberRole,
  call: Call,
): Promise<RoleChange> {
  const { state, member } = await findMember(replica, node, call);
  const { voters } = replica.raft.configuration;
  const wantsVoter = role === 'voter';
  const prospect = roleProspect({ state, voters, target: member, wantsVoter });
  if (prospect.kind === 'refused') throw new TsflannelError(prospect.refusal);
  const command = { kind: 'member-role', nodeId: member.nodeId, wantsVoter } as const;
  await change(replica, command, 'member-updated', call);
  const reached = prospect.kind === 'soon' ? await roleReached(replica, member, role, call) : false;
  if (prospect.kind === 'soon' && !reached) throw new TsflannelError(notYet(member, role));
  return {
    node: refOf(member),
    role: reached ? role : roleOf(replica, member),
    pending: prospect.kind === 'waits' ? prospect.text : null,
  };
}

/** `yes` gives the lease back at once; else it stays, absent, as that of any host that is away. */
export async function removeMember(
  replica: Replica,
  node: string,
  yes: boolean,
  call: Call,
): Promise<RemovedMember> {
  const { state, member } = await findMember(replica, node, call);
  const refusal = quorumRefusal(replica, member);
  if (refusal !== null && state.members.size > 1) throw new TsflannelError(refusal);
  const subnet = ownLease(state, member.nodeId)?.subnet ?? null;
  const command = { kind: 'member-remove', nodeId: member.nodeId, keepsLease: !yes } as const;
  await change(replica, command, 'member-removed', call);
  return { node: refOf(member), subnet, released: subnet !== null && yes };
}

/** Null leaves the choice to the leader. */
export async function transferLeader(replica: Replica, node: string | null, call: Call): Promise<NewLeader> {
  const target = node === null ? null : (await findMember(replica, node, call)).member;
  const leader = await replica.transferLeadership(target?.replicaId ?? null, call.signal);
  const state = requireState(replica);
  const member = memberByReplica(state, leader);
  return { leader: member === undefined ? { id: '', name: `replica ${leader}` } : refOf(member) };
}

/** Where nothing has to be waited for, also when it is so already. False when time is over. */
async function roleReached(
  replica: Replica,
  member: Member,
  role: MemberRole,
  { signal }: Call,
): Promise<boolean> {
  while (roleOf(replica, member) !== role || replica.raft.configuration.outgoing.length > 0) {
    if (signal.aborted) return false;
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
  return true;
}

function roleOf(replica: Replica, { replicaId }: Member): MemberRole {
  return replica.raft.configuration.voters.includes(replicaId) ? 'voter' : 'learner';
}

/** By name or id, or an unambiguous beginning of one. In the newest state, so that no name is an old one. */
async function findMember(
  replica: Replica,
  node: string,
  { signal }: Call,
): Promise<{ readonly state: ClusterState; readonly member: Member }> {
  await replica.readBarrier(signal);
  const state = requireState(replica);
  const found = matchMember([...state.members.values()], node);
  if (!found.ok) throw new TsflannelError(found.refusal);
  return { state, member: found.member };
}

function requireState(replica: Replica): ClusterState {
  if (replica.state === null) throw new TsflannelError(replica.noQuorum());
  return replica.state;
}

function refOf({ nodeId, name }: Member): NodeRef {
  return { id: nodeId, name };
}

function notYet({ name }: Member, role: MemberRole): Refusal {
  const text = role === 'voter' ? `Host ${name} does not vote yet.` : `Host ${name} still votes.`;
  return refuse(
    'role-not-reached',
    EXIT.timeout,
    text,
    'It changes by itself once the hosts that it takes have kept up for 10 s; "tsflannel members" shows it.',
  );
}
