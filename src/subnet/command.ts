/**
 * The commands of the log: everything that can change the replicated state, as plain data, and their JSON form. The
 * leader stamps `time` when it proposes; nobody else's clock counts. Reading is strict: a command with a kind, a
 * version or a field that this program does not know is not skipped, it stops the replica, because a replica that
 * skips what others apply is no replica any more.
 */
import type { ReplicaId } from '../../raft/core/types.ts';
import { COMMAND_BYTES_MAX, LEASES_MAX, PEERS_MAX, PREVIOUS_SUBNETS_MAX } from '../config/limits.ts';
import { type NetworkConfig, networkConfigFromJson } from '../config/network-config.ts';
import {
  boolean,
  canonicalJson,
  cidr,
  DecodeError,
  Fields,
  integer,
  ip,
  list,
  nullable,
  oneOf,
  type Parser,
  parseJsonBytes,
  text,
} from '../config/strict-json.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { ClusterTime, LeaseAttributes, NodeId } from './lease.ts';
import { clusterTime, leaseAttributes, nodeId } from './lease-codec.ts';
import {
  type MemberProfile,
  memberName,
  memberPort,
  memberProfile,
  readProfile,
  replicaId,
} from './member.ts';
import { type TokenGrant, tokenGrant, tokenId } from './token.ts';

/** Of the JSON form: 2 knows IPv6. A change that an older program would misread is a new version and feature level. */
type CommandVersion = 1 | 2;

interface CommandBase {
  /** Cluster time at which the leader proposed it. */
  readonly time: ClusterTime;
}

/** The first entry of a cluster: the host that runs `init` becomes replica 1. */
export interface BootstrapCommand extends CommandBase {
  readonly kind: 'bootstrap';
  readonly clusterId: string;
  readonly epoch: number;
  readonly config: NetworkConfig;
  /** Addresses named by `--peers`; empty without it. */
  readonly peers: readonly Ip[];
  readonly member: MemberProfile;
  readonly token: TokenGrant;
}

/** Admits a host, or a new incarnation of one. Proposed by the leader after it has checked the secret. */
export interface JoinCommand extends CommandBase, MemberProfile {
  readonly kind: 'join';
  readonly requestId: string;
  readonly tokenId: string;
}

export interface MemberUpdateCommand extends CommandBase {
  readonly kind: 'member-update';
  readonly nodeId: NodeId;
  readonly name: string;
  readonly address: Ip;
  readonly port: number;
}

/** A member whose disk is lost or damaged comes back as a new replica; node id, lease and wish stay. */
export interface RejoinCommand extends CommandBase {
  readonly kind: 'rejoin';
  readonly requestId: string;
  readonly nodeId: NodeId;
  /** The one that it was. */
  readonly retired: ReplicaId;
}

/** Whether a member is to vote. What it is to be is said here; when it comes about, the autopilot decides. */
export interface MemberRoleCommand extends CommandBase {
  readonly kind: 'member-role';
  readonly nodeId: NodeId;
  readonly wantsVoter: boolean;
}

export interface MemberRemoveCommand extends CommandBase {
  readonly kind: 'member-remove';
  readonly nodeId: NodeId;
  /** Its lease stays, absent; else it is given back at once. */
  readonly keepsLease: boolean;
}

export interface TokenCreateCommand extends CommandBase {
  readonly kind: 'token-create';
  readonly token: TokenGrant;
}

export interface TokenRevokeCommand extends CommandBase {
  readonly kind: 'token-revoke';
  readonly tokenId: string;
}

export interface AcquireCommand extends CommandBase {
  readonly kind: 'acquire';
  readonly requestId: string;
  readonly nodeId: NodeId;
  readonly attributes: LeaseAttributes;
  /** `--subnet`: this one or a refusal. */
  readonly wanted: Cidr | null;
  /** The same for the IPv6 subnet; left out where none is named. */
  readonly wantedIpv6?: Cidr;
  /** What the host had before, best first: hints only. */
  readonly previous: readonly Cidr[];
}

export interface RenewCommand extends CommandBase {
  readonly kind: 'renew';
  readonly nodeId: NodeId;
  readonly subnet: Cidr;
}

export interface UpdateAttributesCommand extends CommandBase {
  readonly kind: 'update-attributes';
  readonly nodeId: NodeId;
  readonly attributes: LeaseAttributes;
}

export interface ReleaseCommand extends CommandBase {
  readonly kind: 'release';
  readonly nodeId: NodeId;
  readonly subnet: Cidr;
}

export interface ReserveCommand extends CommandBase {
  readonly kind: 'reserve';
  readonly subnet: Cidr;
  readonly nodeId: NodeId;
}

export interface UnreserveCommand extends CommandBase {
  readonly kind: 'unreserve';
  readonly subnet: Cidr;
}

/** Proposed by the leader for leases whose lifetime has ended; one that was renewed meanwhile is left alone. */
export interface MarkAbsentCommand extends CommandBase {
  readonly kind: 'mark-absent';
  readonly subnets: readonly Cidr[];
}

export interface SetConfigCommand extends CommandBase {
  readonly kind: 'set-config';
  /** The revision the change was made from. */
  readonly expectedRevision: number;
  readonly config: NetworkConfig;
  /** `--yes`: leases that do not fit any more may move. */
  readonly moveLeases: boolean;
}

export type Command =
  | BootstrapCommand
  | JoinCommand
  | RejoinCommand
  | MemberUpdateCommand
  | MemberRoleCommand
  | MemberRemoveCommand
  | TokenCreateCommand
  | TokenRevokeCommand
  | AcquireCommand
  | RenewCommand
  | UpdateAttributesCommand
  | ReleaseCommand
  | ReserveCommand
  | UnreserveCommand
  | MarkAbsentCommand
  | SetConfigCommand;

export type CommandKind = Command['kind'];

/** Bytes that are no command this program knows. From the log it is fatal; from a proposer it is a refusal. */
export class UnknownCommandError extends Error {
  override readonly name = 'UnknownCommandError';
}

/** The lowest version that can say it, so that programs which know no IPv6 read whatever does not need it. */
export function commandVersion(command: Command): CommandVersion {
  switch (command.kind) {
    case 'bootstrap':
    case 'set-config':
      return command.config.EnableIPv6 ? 2 : 1;
    case 'acquire':
      return command.wantedIpv6 !== undefined || needsIpv6(command.attributes) ? 2 : 1;
    case 'update-attributes':
      return needsIpv6(command.attributes) ? 2 : 1;
    default:
      return 1;
  }
}

function needsIpv6({ publicIp, interfaceIp, backendV6Data }: LeaseAttributes): boolean {
  return publicIp === null || interfaceIp === null || backendV6Data !== undefined;
}

/** The same command with the leader's time. */
export function stampCommand(command: Command, time: ClusterTime): Command {
  return { ...command, time };
}

/** Throws RangeError for a command that is too large for the log. */
export function encodeCommand(command: Command): Uint8Array {
  const bytes = new TextEncoder().encode(canonicalJson({ version: commandVersion(command), ...command }));
  if (bytes.length > COMMAND_BYTES_MAX) throw new RangeError(`command of ${bytes.length} bytes`);
  return bytes;
}

/** Throws UnknownCommandError and nothing else, whatever the bytes. */
export function decodeCommand(bytes: Uint8Array): Command {
  try {
    const fields = new Fields(parseJsonBytes(bytes, COMMAND_BYTES_MAX));
    const version = fields.get('version', oneOf(1, 2));
    const command = readCommand(fields);
    fields.end();
    if (version !== commandVersion(command)) throw new DecodeError('version: not the one it is written in');
    return command;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new UnknownCommandError(
      `The log holds a command that this version of tsflannel does not know (${error.message}): upgrade this host.`,
      { cause: error },
    );
  }
}

/** The normalised configuration and nothing else: what our own parser would have written. */
export const networkConfig: Parser<NetworkConfig> = (value) => {
  const parsed = networkConfigFromJson(value);
  if (!parsed.ok) throw new DecodeError(parsed.refusal.text);
  if (canonicalJson(parsed.config) !== canonicalJson(value))
    throw new DecodeError('not a normalised configuration');
  return parsed.config;
};

export const requestId: Parser<string> = text(/^[A-Za-z0-9_-]{8,64}$/);
export const clusterId: Parser<string> = text(/^[A-Za-z0-9_-]{1,64}$/);
export const epoch: Parser<number> = integer(1, Number.MAX_SAFE_INTEGER);
export const revision: Parser<number> = integer(1, Number.MAX_SAFE_INTEGER);

const commandKind: Parser<CommandKind> = oneOf(
  'bootstrap',
  'join',
  'rejoin',
  'member-update',
  'member-role',
  'member-remove',
  'token-create',
  'token-revoke',
  'acquire',
  'renew',
  'update-attributes',
  'release',
  'reserve',
  'unreserve',
  'mark-absent',
  'set-config',
);

function readCommand(fields: Fields): Command {
  const kind = fields.get('kind', commandKind);
  const time = fields.get('time', clusterTime);
  switch (kind) {
    case 'bootstrap':
      return {
        kind,
        time,
        clusterId: fields.get('clusterId', clusterId),
        epoch: fields.get('epoch', epoch),
        config: fields.get('config', networkConfig),
        peers: fields.get('peers', list(ip, PEERS_MAX)),
        member: fields.get('member', memberProfile),
        token: fields.get('token', tokenGrant),
      };
    case 'join':
      return {
        kind,
        time,
        requestId: fields.get('requestId', requestId),
        tokenId: fields.get('tokenId', tokenId),
        ...readProfile(fields),
      };
    case 'member-update':
      return {
        kind,
        time,
        nodeId: fields.get('nodeId', nodeId),
        name: fields.get('name', memberName),
        address: fields.get('address', ip),
        port: fields.get('port', memberPort),
      };
    case 'rejoin':
      return {
        kind,
        time,
        requestId: fields.get('requestId', requestId),
        nodeId: fields.get('nodeId', nodeId),
        retired: fields.get('retired', replicaId),
      };
    case 'member-role':
      return {
        kind,
        time,
        nodeId: fields.get('nodeId', nodeId),
        wantsVoter: fields.get('wantsVoter', boolean),
      };
    case 'member-remove':
      return {
        kind,
        time,
        nodeId: fields.get('nodeId', nodeId),
        keepsLease: fields.get('keepsLease', boolean),
      };
    case 'token-create':
      return { kind, time, token: fields.get('token', tokenGrant) };
    case 'token-revoke':
      return { kind, time, tokenId: fields.get('tokenId', tokenId) };
    default:
      return readLeaseCommand(kind, time, fields);
  }
}

type LeaseCommandKind = Exclude<
  CommandKind,
  | 'bootstrap'
  | 'join'
  | 'rejoin'
  | 'member-update'
  | 'member-role'
  | 'member-remove'
  | 'token-create'
  | 'token-revoke'
>;

function readLeaseCommand(kind: LeaseCommandKind, time: ClusterTime, fields: Fields): Command {
  switch (kind) {
    case 'acquire':
      return {
        kind,
        time,
        requestId: fields.get('requestId', requestId),
        nodeId: fields.get('nodeId', nodeId),
        attributes: fields.get('attributes', leaseAttributes),
        wanted: fields.get('wanted', nullable(cidr)),
        ...(fields.has('wantedIpv6') && { wantedIpv6: fields.get('wantedIpv6', cidr) }),
        previous: fields.get('previous', list(cidr, PREVIOUS_SUBNETS_MAX)),
      };
    case 'update-attributes':
      return {
        kind,
        time,
        nodeId: fields.get('nodeId', nodeId),
        attributes: fields.get('attributes', leaseAttributes),
      };
    case 'renew':
    case 'release':
    case 'reserve':
      return { kind, time, nodeId: fields.get('nodeId', nodeId), subnet: fields.get('subnet', cidr) };
    case 'unreserve':
      return { kind, time, subnet: fields.get('subnet', cidr) };
    case 'mark-absent':
      return { kind, time, subnets: fields.get('subnets', list(cidr, LEASES_MAX)) };
    case 'set-config':
      return {
        kind,
        time,
        expectedRevision: fields.get('expectedRevision', revision),
        config: fields.get('config', networkConfig),
        moveLeases: fields.get('moveLeases', boolean),
      };
  }
}
