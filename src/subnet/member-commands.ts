/** What the commands about members and tokens do to the state. Pure. */
import { toReplicaId } from '../../raft/core/types.ts';
import { MEMBERS_MAX, TOKENS_MAX } from '../config/limits.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type {
  BootstrapCommand,
  JoinCommand,
  MemberRemoveCommand,
  MemberRoleCommand,
  MemberUpdateCommand,
  RejoinCommand,
  TokenCreateCommand,
  TokenRevokeCommand,
} from './command.ts';
import { type CommandResult, refused } from './command-result.ts';
import { subnetsOf } from './lease.ts';
import { abandon, giveBack } from './lease-commands.ts';
import { type Member, type MemberProfile, nodeIdOf } from './member.ts';
import { type ClusterState, levelOf } from './state.ts';
import { checkToken, type Token, tokenOf } from './token.ts';
import {
  answerTo,
  notAMember,
  type Outcome,
  refuseWith,
  remember,
  superseded,
  type Transition,
} from './transition.ts';

/** How a cluster begins: its first host is replica 1. */
export function bootstrap(command: BootstrapCommand, index: number): Transition {
  const { config, time } = command;
  const refusal = identityRefusal(command.member);
  if (refusal !== null) return { state: null, result: refused(refusal) };
  const first: Member = { ...profileOf(command.member), replicaId: toReplicaId(1), joinedAt: time };
  const token = tokenOf(command.token, time);
  const state: ClusterState = {
    featureLevel: levelOf(config),
    clusterId: command.clusterId,
    epoch: command.epoch,
    time,
    index,
    nextReplicaId: toReplicaId(2),
    config,
    configRevision: 1,
    peers: command.peers,
    members: new Map([[first.nodeId, first]]),
    tokens: new Map([[token.id, token]]),
    leases: new Map(),
    reservations: new Map(),
    released: new Map(),
    answers: [],
  };
  return { state, result: joined(state, first) };
}

/** A repeated bootstrap of the same cluster gets the same answer; any other one is refused. */
export function bootstrapAgain(state: ClusterState, command: BootstrapCommand): Outcome {
  const first = state.members.get(command.member.nodeId);
  if (state.clusterId === command.clusterId && state.epoch === command.epoch && first !== undefined)
    return { state, result: joined(state, first) };
  return refuseWith(
    state,
    'already-initialised',
    EXIT.conflict,
    `Cluster ${state.clusterId} is already initialised.`,
    'Use "tsflannel join" to add a host.',
  );
}

export function join(state: ClusterState, command: JoinCommand): Outcome {
  const { nodeId, requestId, time } = command;
  const before = answerTo(state, requestId, nodeId);
  if (before !== undefined) {
    const current = state.members.get(nodeId);
    return current !== undefined && current.replicaId === before.replicaId
      ? { state, result: joined(state, current) }
      : superseded(state);
  }
  const check = checkToken(state.tokens.get(command.tokenId), time);
  if (!check.ok) return { state, result: refused(check.refusal) };
  const { token } = check;
  const conflict = profileConflict(state, command);
  if (conflict !== null) return conflict;
  const wantsVoter = wish(state, command, token);
  const replicaId = state.nextReplicaId;
  const member: Member = { ...profileOf(command), wantsVoter, replicaId, joinedAt: time };
  const next: ClusterState = {
    ...state,
    nextReplicaId: toReplicaId(replicaId + 1),
    members: new Map(state.members).set(nodeId, member),
    tokens: new Map(state.tokens).set(token.id, { ...token, uses: token.uses + 1 }),
    answers: remember(state, { requestId, time, nodeId, replicaId, subnet: null }),
  };
  return { state: next, result: joined(next, member) };
}

/** Whatever the old replica promised is retired with it: its disk is not to be believed any more. */
export function rejoin(state: ClusterState, command: RejoinCommand): Outcome {
  const { nodeId, requestId, retired, time } = command;
  const old = state.members.get(nodeId);
  if (old === undefined) return notAMember(state, nodeId);
  const before = answerTo(state, requestId, nodeId);
  if (before !== undefined && before.replicaId === old.replicaId)
    return { state, result: joined(state, old) };
  if (old.replicaId !== retired)
    return refuseWith(
      state,
      'replaced-since',
      EXIT.refused,
      `Host ${old.name} has come back since as another replica, ${old.replicaId}; ${retired} is retired.`,
      'This data directory is an old copy: use the newer one, or run "tsflannel down --purge" and join anew.',
    );
  const replicaId = state.nextReplicaId;
  const member: Member = { ...old, replicaId, joinedAt: time };
  const next: ClusterState = {
    ...state,
    nextReplicaId: toReplicaId(replicaId + 1),
    members: new Map(state.members).set(nodeId, member),
    answers: remember(state, { requestId, time, nodeId, replicaId, subnet: null }),
  };
  return { state: next, result: joined(next, member) };
}

export function setRole(state: ClusterState, { nodeId, wantsVoter }: MemberRoleCommand): Outcome {
  const old = state.members.get(nodeId);
  if (old === undefined) return notAMember(state, nodeId);
  const member: Member = { ...old, wantsVoter };
  const next = { ...state, members: new Map(state.members).set(nodeId, member) };
  return { state: next, result: { kind: 'member-updated', member } };
}

export function updateMember(state: ClusterState, command: MemberUpdateCommand): Outcome {
  const { nodeId, name, address, port } = command;
  const old = state.members.get(nodeId);
  if (old === undefined) return notAMember(state, nodeId);
  const member: Member = { ...old, name, address, port };
  const conflict = placeConflict(state, member);
  if (conflict !== null) return conflict;
  const next = { ...state, members: new Map(state.members).set(nodeId, member) };
  return { state: next, result: { kind: 'member-updated', member } };
}

export function removeMember(state: ClusterState, { nodeId, keepsLease }: MemberRemoveCommand): Outcome {
  const member = state.members.get(nodeId);
  if (member === undefined) return notAMember(state, nodeId);
  if (state.members.size === 1)
    return refuseWith(
      state,
      'last-member',
      EXIT.failed,
      `Host ${member.name} is the last member of the cluster.`,
      'Run "tsflannel down --purge" on it to end the cluster.',
    );
  const members = new Map(state.members);
  members.delete(nodeId);
  const held = [...state.leases.values()].filter((lease) => lease.nodeId === nodeId);
  if (keepsLease)
    return {
      state: abandon({ ...state, members }, held),
      result: { kind: 'member-removed', member, released: [] },
    };
  const next = giveBack({ ...state, members }, held);
  const released = held.flatMap(subnetsOf);
  return { state: next, result: { kind: 'member-removed', member, released } };
}

/** The same grant twice is one token: its maker may have lost the first answer. */
export function createToken(state: ClusterState, { token: grant, time }: TokenCreateCommand): Outcome {
  const old = state.tokens.get(grant.id);
  if (old !== undefined && old.secretHash !== grant.secretHash)
    return refuseWith(
      state,
      'token-exists',
      EXIT.conflict,
      `There is a token ${grant.id} already.`,
      'Repeat the command; it will pick another id.',
    );
  if (old !== undefined) return { state, result: { kind: 'token-created', token: old } };
  const usable = [...state.tokens].filter(
    ([, token]) => state.tokens.size < TOKENS_MAX || checkToken(token, time).ok,
  );
  if (usable.length >= TOKENS_MAX)
    return refuseWith(
      state,
      'too-many-tokens',
      EXIT.failed,
      `The cluster has ${usable.length} usable tokens, and no more are kept.`,
      'Revoke some with "tsflannel token revoke ID".',
    );
  const token = tokenOf(grant, time);
  return {
    state: { ...state, tokens: new Map(usable).set(token.id, token) },
    result: { kind: 'token-created', token },
  };
}

export function revokeToken(state: ClusterState, { tokenId }: TokenRevokeCommand): Outcome {
  const token = state.tokens.get(tokenId);
  if (token === undefined)
    return refuseWith(
      state,
      'no-such-token',
      EXIT.failed,
      `There is no token ${tokenId}.`,
      '"tsflannel token list" shows the ones there are.',
    );
  const tokens = new Map(state.tokens).set(tokenId, { ...token, revoked: true });
  return { state: { ...state, tokens }, result: { kind: 'token-revoked', tokenId } };
}

function joined({ clusterId, epoch }: ClusterState, member: Member): CommandResult {
  return { kind: 'joined', clusterId, epoch, member };
}

function profileOf({ nodeId, publicKey, name, address, port, wantsVoter }: MemberProfile): MemberProfile {
  return { nodeId, publicKey, name, address, port, wantsVoter };
}

/** Null when the newcomer is who it says and stands in nobody's way. */
function profileConflict(state: ClusterState, profile: MemberProfile): Outcome | null {
  const known = state.members.get(profile.nodeId);
  const refusal = identityRefusal(profile, known);
  if (refusal !== null) return { state, result: refused(refusal) };
  if (known === undefined && state.members.size >= MEMBERS_MAX)
    return refuseWith(
      state,
      'cluster-full',
      EXIT.failed,
      `The cluster has ${state.members.size} members, and no more fit.`,
      'Run "tsflannel leave" on hosts that are to go.',
    );
  return placeConflict(state, profile);
}

/** A node id is the digest of its key; nobody takes it with another one. */
function identityRefusal({ nodeId, publicKey }: MemberProfile, known?: Member): Refusal | null {
  if (nodeIdOf(publicKey) === nodeId && (known === undefined || known.publicKey === publicKey)) return null;
  return refuse(
    'wrong-identity',
    EXIT.refused,
    `Node id ${nodeId} does not belong to the key that asks to join with it.`,
    'Use the data directory that the node id was made in, or an empty one.',
  );
}

/**
 * Whether the host is to vote; decided once, while its address is proven, so that no later change of address makes a
 * voter of it. `--peers` names voters whatever their token says; `--learner` on the host itself wins over that.
 */
function wish(state: ClusterState, { wantsVoter, address }: JoinCommand, token: Token): boolean | null {
  if (wantsVoter === false) return false;
  if (state.peers.includes(address)) return true;
  return token.role === 'learner' ? null : wantsVoter;
}

/** A name and an address belong to one member each. */
function placeConflict(state: ClusterState, { nodeId, name, address }: MemberProfile): Outcome | null {
  for (const other of state.members.values()) {
    if (other.nodeId === nodeId) continue;
    if (other.name === name)
      return refuseWith(
        state,
        'name-taken',
        EXIT.conflict,
        `The name ${name} belongs to member ${other.nodeId} at ${other.address}.`,
        'Give this host another one with --name, or remove the old member first.',
      );
    if (other.address === address)
      return refuseWith(
        state,
        'address-taken',
        EXIT.conflict,
        `The address ${address} belongs to member ${other.name}.`,
        'Choose another interface or --public-ip, or remove the old member first.',
      );
  }
  return null;
}
