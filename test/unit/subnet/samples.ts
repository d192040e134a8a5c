/** Values that the tests of src/subnet build on: a cluster of named hosts with keys, commands with every field set. */
import { createHash } from 'node:crypto';
import { type CommandEntry, toLogIndex, toTerm } from '../../../raft/core/types.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../src/config/network-config.ts';
import { type Ip, toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import type { AcquireCommand, BootstrapCommand, Command, JoinCommand } from '../../../src/subnet/command.ts';
import { encodeCommand } from '../../../src/subnet/command.ts';
import type { CommandResult } from '../../../src/subnet/command-result.ts';
import { type LeaseAttributes, type NodeId, toClusterTime } from '../../../src/subnet/lease.ts';
import { type MemberProfile, nodeIdOf } from '../../../src/subnet/member.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import { SubnetStateMachine } from '../../../src/subnet/state-machine.ts';
import { hashSecret, type TokenGrant } from '../../../src/subnet/token.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS: number = 24 * HOUR_MS;
const START = toClusterTime(0);

export function configOf(text: string): NetworkConfig {
  const result = parseNetworkConfig(text);
  if (!result.ok) throw new Error(result.refusal.text);
  return result.config;
}

/** The whole snapshot of a machine. */
export function bytesOf(machine: SubnetStateMachine): Uint8Array {
  return Buffer.concat([...machine.snapshot()]);
}

function addressOf(n: number): Ip {
  return toIp(`192.0.${2 + (n >> 8)}.${n & 255}`);
}

/** Host number n: its key is made up, its node id is the key's digest as for a real one. */
export function profile(n: number): MemberProfile {
  const publicKey = createHash('sha512').update(`key of host ${n}`).digest('base64');
  const nodeId = nodeIdOf(publicKey);
  return {
    nodeId,
    publicKey,
    name: `host-${n}`,
    address: addressOf(n),
    port: 6473,
    wantsVoter: null,
  };
}

export function node(n: number): NodeId {
  return profile(n).nodeId;
}

export function attributes(n: number): LeaseAttributes {
  return {
    publicIp: addressOf(n),
    publicIpv6: null,
    interfaceIp: addressOf(n),
    linkMtu: 1500,
    backendType: 'host-gw',
    backendData: null,
  };
}

/** Of a host that IPv6 reaches as well, with a device for each family. */
export function dualAttributes(n: number): LeaseAttributes {
  return {
    ...attributes(n),
    publicIpv6: toIp(`2001:db8::${n.toString(16)}`),
    backendData: { VNI: 1, VtepMAC: localMac(Uint8Array.of(0, 4, 0, 0, 0, n)) },
    backendV6Data: { VNI: 1, VtepMAC: localMac(Uint8Array.of(0, 6, 0, 0, 0, n)) },
  };
}

export function grant(id: string, change: Partial<TokenGrant> = {}): TokenGrant {
  return {
    id,
    secretHash: hashSecret(`secret of ${id}`),
    role: 'learner',
    ttlMs: DAY_MS,
    usesMax: null,
    ...change,
  };
}

export function bootstrapCommand(change: Partial<BootstrapCommand> = {}): BootstrapCommand {
  return {
    kind: 'bootstrap',
    time: START,
    clusterId: 'c1',
    epoch: 1,
    config: configOf('{"Network":"10.5.0.0/16"}'),
    peers: [],
    member: profile(1),
    token: grant('t1'),
    ...change,
  };
}

export function joinCommand(n: number, change: Partial<JoinCommand> = {}): JoinCommand {
  return { kind: 'join', time: START, requestId: `join-host-${n}`, tokenId: 't1', ...profile(n), ...change };
}

export function acquireCommand(n: number, change: Partial<AcquireCommand> = {}): AcquireCommand {
  return {
    kind: 'acquire',
    time: START,
    requestId: `acquire-host-${n}`,
    nodeId: node(n),
    attributes: attributes(n),
    wanted: null,
    previous: [],
    ...change,
  };
}

/** A state machine that takes commands without their envelope. */
export class Replica {
  readonly machine: SubnetStateMachine = new SubnetStateMachine();
  #index = 0;

  apply(command: Command): CommandResult {
    return this.machine.apply(entry(encodeCommand(command), ++this.#index));
  }

  /** Applies, and expects a result of this kind. */
  expect<K extends CommandResult['kind']>(kind: K, command: Command): Extract<CommandResult, { kind: K }> {
    const result = this.apply(command);
    if (!isKind(result, kind)) throw new Error(`${kind} expected, not ${JSON.stringify(result)}`);
    return result;
  }

  /** The code of the refusal. */
  refused(command: Command): string {
    return this.expect('refused', command).refusal.code;
  }

  get state(): ClusterState {
    const { state } = this.machine;
    if (state === null) throw new Error('no cluster yet');
    return state;
  }

  get index(): number {
    return this.#index;
  }

  /** A second one, started from a snapshot of this one. */
  fromSnapshot(): Replica {
    const copy = new Replica();
    copy.machine.restore(bytesOf(this.machine));
    copy.#index = this.#index;
    return copy;
  }
}

function isKind<K extends CommandResult['kind']>(
  result: CommandResult,
  kind: K,
): result is Extract<CommandResult, { kind: K }> {
  return result.kind === kind;
}

export function entry(payload: Uint8Array, index: number): CommandEntry {
  return { kind: 'command', term: toTerm(1), index: toLogIndex(index), payload };
}

/** Bootstrapped, with hosts 1 to `hosts` as members; only host 1 joined at time 0 by `init`. */
export function cluster(hosts: number, change: Partial<BootstrapCommand> = {}): Replica {
  const replica = new Replica();
  replica.expect('joined', bootstrapCommand(change));
  for (let n = 2; n <= hosts; n++) replica.expect('joined', joinCommand(n));
  return replica;
}
