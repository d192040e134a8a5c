/**
 * The local API between the command line and the agent of one host: which methods exist, what they take and answer, and
 * the envelope around them. HTTP POST of one JSON document over the unix socket `agent.sock`; whoever can open it is
 * root on this host. A method is added here, in `Calls` and `METHODS`, and in the daemon's AgentApi; server and client
 * need no change.
 */
import { EXIT, type ExitCode, type Refusal } from '../errors.ts';
import type {
  CandidateFacts,
  NodeFacts,
  NodeRef,
  OwnLeaseFacts,
  Problem,
  RouteFacts,
} from '../observe/agent-facts.ts';
import { WAIT_TARGETS, type WaitTarget } from '../observe/health.ts';
import type { RaftStatus, Status, StatusPeer } from '../observe/status.ts';
import type {
  ConfigRevision,
  CreatedToken,
  LeaseEntry,
  Left,
  LocalRead,
  Member,
  MemberRole,
  NewLeader,
  RemovedMember,
  RoleChange,
  RouteEntry,
  SavedState,
  TokenEntry,
  VersionAnswer,
} from './answers.ts';
import {
  arrayOf,
  type Guard,
  isBoolean,
  isCidr,
  isIp,
  isNumber,
  isObject,
  isString,
  nullable,
  oneOf,
  optional,
  record,
} from './guard.ts';

export const PROTOCOL_VERSION = 1;
/** Of a request and of its answer. 10,000 leases are about 3 MiB. */
export const MAX_REQUEST_BYTES: number = 1 << 20;
export const MAX_ANSWER_BYTES: number = 16 << 20;
/** How long after the deadline that it was told an agent may take to say what it did not reach. */
export const DEADLINE_GRACE_MS = 1_000;
export const SOCKET_NAME = 'agent.sock';

export type NoParams = Record<never, never>;

export interface TokenCreateParams {
  readonly role: MemberRole;
  readonly ttlMs: number;
  /** Null is unlimited. */
  readonly uses: number | null;
}

export interface Calls {
  readonly version: { readonly params: NoParams; readonly answer: VersionAnswer };
  readonly status: { readonly params: NoParams; readonly answer: Status };
  /** Answers when it holds; at the deadline a refusal that names what is missing. */
  readonly wait: { readonly params: { readonly target: WaitTarget }; readonly answer: Status };
  readonly members: { readonly params: NoParams; readonly answer: LocalRead<readonly Member[]> };
  readonly leases: { readonly params: NoParams; readonly answer: LocalRead<readonly LeaseEntry[]> };
  readonly routes: { readonly params: NoParams; readonly answer: readonly RouteEntry[] };
  readonly configGet: { readonly params: NoParams; readonly answer: LocalRead<ConfigRevision> };
  readonly tokenCreate: { readonly params: TokenCreateParams; readonly answer: CreatedToken };
  readonly tokenList: { readonly params: NoParams; readonly answer: LocalRead<readonly TokenEntry[]> };
  readonly tokenRevoke: {
    readonly params: { readonly id: string };
    readonly answer: { readonly id: string };
  };
  readonly snapshotSave: { readonly params: NoParams; readonly answer: LocalRead<SavedState> };
  /** `node` is a name or id, or an unambiguous beginning of one. */
  readonly memberRole: {
    readonly params: { readonly node: string; readonly role: MemberRole };
    readonly answer: RoleChange;
  };
  readonly memberRemove: {
    readonly params: { readonly node: string; readonly yes: boolean };
    readonly answer: RemovedMember;
  };
  readonly transferLeader: { readonly params: { readonly node: string | null }; readonly answer: NewLeader };
  /** Gives the lease back and leaves the cluster; the agent stops itself after the answer. */
  readonly leave: { readonly params: { readonly yes: boolean }; readonly answer: Left };
  /** Answers, then stops as on SIGTERM: the kernel keeps what it has. */
  readonly shutdown: { readonly params: NoParams; readonly answer: NoParams };
}

export type MethodName = keyof Calls;
export type Params<M extends MethodName> = Calls[M]['params'];
export type Answer<M extends MethodName> = Calls[M]['answer'];

export interface MethodShape<P, A> {
  readonly params: Guard<P>;
  readonly answer: Guard<A>;
}

export interface Request {
  readonly version: number;
  readonly method: string;
  readonly params: unknown;
  readonly timeoutMs: number;
}

/** Exactly one of result and error. */
export type Response = { readonly version: number } & (
  | { readonly result: unknown }
  | { readonly error: Refusal }
);

const none = record<NoParams>({});
const nodeRef = record<NodeRef>({ id: isString, name: isString });
const memberRole = oneOf(['voter', 'learner']);

const nodeFacts = record<NodeFacts>({
  id: isString,
  name: isString,
  publicIp: nullable(isIp),
  publicIpv6: nullable(isIp),
  iface: nullable(isString),
});

const raftStatus = record<RaftStatus>({
  role: nullable(oneOf(['leader', 'follower', 'candidate', 'learner'])),
  term: nullable(isNumber),
  commitIndex: nullable(isNumber),
  appliedIndex: nullable(isNumber),
  leader: nullable(nodeRef),
  voters: nullable(isNumber),
  learners: nullable(isNumber),
  failureTolerance: nullable(isNumber),
});

const problem = record<Problem>({
  code: isString,
  severity: oneOf(['error', 'warning']),
  text: isString,
  fix: isString,
});

const candidate = record<CandidateFacts>({
  state: oneOf(['proven', 'dead', 'unknown', 'impossible']),
  rttMs: nullable(isNumber),
  loss: nullable(isNumber),
  mtu: nullable(isNumber),
  reason: nullable(isString),
});

const statusPeer = record<StatusPeer>({
  id: isString,
  name: isString,
  publicIp: nullable(isIp),
  publicIpv6: optional(nullable(isIp)),
  subnet: nullable(isCidr),
  ipv6Subnet: optional(nullable(isCidr)),
  path: oneOf(['direct', 'vxlan', 'down', 'unproven']),
  since: nullable(isString),
  rttMs: nullable(isNumber),
  loss: nullable(isNumber),
  mtu: nullable(isNumber),
  reason: nullable(isString),
  direct: optional(nullable(candidate)),
  vxlan: optional(nullable(candidate)),
});

const ownLease = record<OwnLeaseFacts>({
  subnet: nullable(isCidr),
  ipv6Subnet: nullable(isCidr),
  mtu: isNumber,
  expiresAt: nullable(isString),
});

const status = record<Status>({
  version: isString,
  health: oneOf(['healthy', 'degraded', 'no-quorum']),
  ready: isBoolean,
  problems: arrayOf(problem),
  cluster: record<Status['cluster']>({ id: nullable(isString) }),
  node: nodeFacts,
  raft: raftStatus,
  lease: nullable(ownLease),
  routes: record<RouteFacts>({
    desired: isNumber,
    installed: isNumber,
    repaired: isNumber,
    foreign: isNumber,
  }),
  peers: arrayOf(statusPeer),
});

const member = record<Member>({
  id: isString,
  name: isString,
  publicIp: nullable(isString),
  publicIpv6: optional(nullable(isString)),
  role: memberRole,
  leader: isBoolean,
  lastContactMs: nullable(isNumber),
  matchIndex: nullable(isNumber),
});

const leaseEntry = record<LeaseEntry>({
  subnet: nullable(isString),
  ipv6Subnet: nullable(isString),
  nodeId: isString,
  nodeName: isString,
  publicIp: nullable(isString),
  publicIpv6: optional(nullable(isString)),
  backendType: isString,
  backendData: nullable(isObject),
  backendV6Data: optional(nullable(isObject)),
  expiresAt: nullable(isString),
  reserved: isBoolean,
  state: oneOf(['active', 'absent', 'draining']),
});

const routeEntry = record<RouteEntry>({
  dst: isString,
  via: nullable(isString),
  dev: nullable(isString),
  state: oneOf(['installed', 'missing', 'foreign', 'stale']),
  owner: nullable(isString),
  peer: nullable(isString),
});

const tokenFields = {
  id: isString,
  role: memberRole,
  expiresAt: isString,
  usesLeft: nullable(isNumber),
};

export const METHODS: { readonly [M in MethodName]: MethodShape<Params<M>, Answer<M>> } = {
  version: { params: none, answer: record<VersionAnswer>({ version: isString, pid: isNumber }) },
  status: { params: none, answer: status },
  wait: { params: record<Params<'wait'>>({ target: oneOf(WAIT_TARGETS) }), answer: status },
  members: { params: none, answer: localRead(arrayOf(member)) },
  leases: { params: none, answer: localRead(arrayOf(leaseEntry)) },
  routes: { params: none, answer: arrayOf(routeEntry) },
  configGet: {
    params: none,
    answer: localRead(record<ConfigRevision>({ revision: isNumber, config: isObject })),
  },
  tokenCreate: {
    params: record<TokenCreateParams>({ role: memberRole, ttlMs: isNumber, uses: nullable(isNumber) }),
    answer: record<CreatedToken>({ ...tokenFields, token: isString, joinCommand: isString }),
  },
  tokenList: { params: none, answer: localRead(arrayOf(record<TokenEntry>(tokenFields))) },
  tokenRevoke: {
    params: record<Params<'tokenRevoke'>>({ id: isString }),
    answer: record<Answer<'tokenRevoke'>>({ id: isString }),
  },
  snapshotSave: {
    params: none,
    answer: localRead(
      record<SavedState>({ nodeId: isString, term: isNumber, voters: arrayOf(isNumber), state: isObject }),
    ),
  },
  memberRole: {
    params: record<Params<'memberRole'>>({ node: isString, role: memberRole }),
    answer: record<RoleChange>({ node: nodeRef, role: memberRole, pending: nullable(isString) }),
  },
  memberRemove: {
    params: record<Params<'memberRemove'>>({ node: isString, yes: isBoolean }),
    answer: record<RemovedMember>({ node: nodeRef, subnet: nullable(isString), released: isBoolean }),
  },
  transferLeader: {
    params: record<Params<'transferLeader'>>({ node: nullable(isString) }),
    answer: record<NewLeader>({ leader: nodeRef }),
  },
  leave: {
    params: record<Params<'leave'>>({ yes: isBoolean }),
    answer: record<Left>({ node: nodeRef, subnet: nullable(isString) }),
  },
  shutdown: { params: none, answer: none },
};

export function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}

export const isRequest: Guard<Request> = record<Request>({
  version: isNumber,
  method: isString,
  params: (value: unknown): value is unknown => value !== undefined,
  timeoutMs: isNumber,
});

const exitCodes: readonly ExitCode[] = Object.values(EXIT);

export const isRefusal: Guard<Refusal> = record<Refusal>({
  code: isString,
  exitCode: (value): value is ExitCode => exitCodes.some((code) => code === value),
  text: isString,
  fix: isString,
});

function localRead<T>(guard: Guard<T>): Guard<LocalRead<T>> {
  return record<LocalRead<T>>({ data: guard, staleMs: isNumber });
}
