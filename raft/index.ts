/**
 * The public face of the consensus library: a replica (RaftNode) over a disk (RaftStorage) and a network (Transport),
 * with LevelDB and TLS plus sealed datagrams as the ones that come with it. What is not exported here may change.
 */
export { bootstrapState, EMPTY_STATE, type InitialState } from './core/bootstrap.ts';
export type { Transition } from './core/effects.ts';
export type { Message } from './core/messages.ts';
export type { RaftOptions } from './core/options.ts';
export type { Membership, RaftStatus } from './core/raft.ts';
export {
  type CommandEntry,
  type Configuration,
  type EntryId,
  InvariantError,
  type LogIndex,
  type ReplicaId,
  type Role,
  type Term,
  toReplicaId,
} from './core/types.ts';
export { type AutopilotInput, type AutopilotLimits, nextMembership } from './runtime/autopilot.ts';
export {
  type ConfigurationOutcome,
  type ProposalOutcome,
  RaftNode,
  type RaftNodeOptions,
} from './runtime/node.ts';
export { PeerHealth, type PeerHealthOptions, type PeerHealthReport } from './runtime/peer-health.ts';
export type { ReadAnswer } from './runtime/reads.ts';
export { oneVoterState, replay, type Survivor, surveySurvivor } from './runtime/recovery.ts';
export type { StateMachine } from './runtime/state-machine.ts';
export type { TransferOutcome } from './runtime/transfers.ts';
export { LevelStorage } from './storage/level.ts';
export { MemoryStorage } from './storage/memory.ts';
export { type RaftStorage, type Recovered, StorageDamagedError } from './storage/storage.ts';
export type { TlsIdentity, TransportLog } from './transport/acceptor.ts';
export { type AnonymousOptions, type AnonymousSession, connectAnonymous } from './transport/anonymous.ts';
export { RolledBackError, TransportError, type TransportErrorCode } from './transport/errors.ts';
export { MemoryNetwork } from './transport/memory.ts';
export { type PeerStatus, PeerTransport, type PeerTransportOptions } from './transport/peer-transport.ts';
export type { Caller } from './transport/session.ts';
export type { Endpoint, Transport } from './transport/transport.ts';
