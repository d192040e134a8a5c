/**
 * The real subnet state machine in the simulator, and the proof that its ledger sees what it is there to see: each
 * mistake in the machine or in how time is kept is named within a few seeds.
 */
import { describe, expect, it } from 'vitest';
import type { CommandEntry } from '../../raft/core/types.ts';
import type { Workload } from '../../raft/sim/index.ts';
import { simulate } from '../../raft/sim/run.ts';
import { toCidr } from '../../src/net/cidr.ts';
import { addTime } from '../../src/subnet/cluster-time.ts';
import { type Command, decodeCommand } from '../../src/subnet/command.ts';
import type { CommandResult } from '../../src/subnet/command-result.ts';
import { type Lease, leaseKey } from '../../src/subnet/lease.ts';
import { type ClusterState, decodeState, encodeState } from '../../src/subnet/state.ts';
import { SubnetStateMachine, transition } from '../../src/subnet/state-machine.ts';
import { SimulatedSubnet, subnetWorkload } from './subnet-workload.ts';

const SEEDS = 40;
const TICKS = 400;

function firstViolation(make: () => Workload): string | null {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violation } = simulate({ seed, ticks: TICKS, ...make() });
    if (violation !== null) return violation.rule;
  }
  return null;
}

type Mistake = (command: Command, after: ClusterState) => ClusterState;

/** The real machine, but for one mistake. */
class Mistaken extends SubnetStateMachine {
  readonly #mistake: Mistake;
  #state: ClusterState | null = null;

  constructor(mistake: Mistake) {
    super();
    this.#mistake = mistake;
  }

  override get state(): ClusterState | null {
    return this.#state;
  }

  override apply(entry: CommandEntry): CommandResult {
    const command = decodeCommand(entry.payload);
    const { state, result } = transition(this.#state, command, entry.index);
    this.#state = state && this.#mistake(command, state);
    return result;
  }

  override snapshot(): Iterable<Uint8Array> {
    return [encodeState(this.#state)];
  }

  override restore(data: Uint8Array): void {
    this.#state = decodeState(data);
  }
}

function withLease(state: ClusterState, change: (first: Lease) => Lease | null): ClusterState {
  const [first] = state.leases.values();
  if (first === undefined) return state;
  const leases = new Map(state.leases);
  leases.delete(leaseKey(first));
  const changed = change(first);
  if (changed !== null) leases.set(leaseKey(changed), changed);
  return { ...state, leases };
}

describe('a mistake is caught:', () => {
  const mistakes: [name: string, rule: string, mistake: Mistake][] = [
    [
      'a lease overlaps another one',
      'no overlapping leases',
      (command, state) => {
        if (command.kind !== 'acquire') return state;
        const [first] = state.leases.values();
        if (first === undefined || !first.subnet?.endsWith('/28')) return state;
        const subnet = toCidr(first.subnet.replace('/28', '/29'));
        return {
          ...state,
          leases: new Map(state.leases).set(subnet, { ...first, subnet, nodeId: command.nodeId }),
        };
      },
    ],
    [
      'an IPv6 lease overlaps another one',
      'no overlapping leases',
      (command, state) => {
        if (command.kind !== 'acquire') return state;
        const first = [...state.leases.values()].find(({ ipv6Subnet }) => ipv6Subnet?.endsWith('/124'));
        if (first === undefined) return state;
        const ipv6Subnet = toCidr((first.ipv6Subnet ?? '').replace('/124', '/125'));
        const overlapping = { ...first, subnet: null, ipv6Subnet, nodeId: command.nodeId };
        return { ...state, leases: new Map(state.leases).set(ipv6Subnet, overlapping) };
      },
    ],
    [
      'a renewal moves the lease of another host',
      'no lease without its acquire',
      (command, state) =>
        command.kind === 'renew'
          ? withLease(state, (lease) => ({ ...lease, nodeId: command.nodeId }))
          : state,
    ],
    [
      'a new token costs somebody the lease',
      'no lease lost without a command',
      (command, state) => (command.kind === 'token-create' ? withLease(state, () => null) : state),
    ],
    [
      'an absent lease is given away at once',
      'no lease lost without a command',
      (command, state) =>
        command.kind === 'acquire'
          ? withLease(state, (lease) =>
              lease.state === 'absent' ? { ...lease, state: 'active', nodeId: command.nodeId } : lease,
            )
          : state,
    ],
    [
      'a release marks another lease absent',
      'no lease changed without a command',
      (command, state) =>
        command.kind === 'release' ? withLease(state, (lease) => ({ ...lease, state: 'absent' })) : state,
    ],
    [
      'time alone renews a lease',
      'no lease changed without a command',
      (command, state) =>
        command.kind === 'reserve'
          ? withLease(state, (lease) => ({ ...lease, expiresAt: addTime(lease.expiresAt, 1) }))
          : state,
    ],
  ];

  it.each(mistakes)('%s', (_name, rule, mistake) => {
    expect(firstViolation(() => subnetWorkload(() => new Mistaken(mistake)))).toBe(rule);
  });

  it('cluster time follows a wall clock', () => {
    const onWallClock = (): Workload => {
      const { machine, command } = subnetWorkload();
      if (machine === undefined || command === undefined) throw new TypeError('an empty workload');
      const swarm = { faults: ['clock-jump'] } as const;
      // A thousandth of a year is enough, and stays a number that can be stamped.
      const monotonicMs = (wallMs: number): number => wallMs / 1_000;
      return {
        command,
        swarm,
        machine: (process) => machine({ ...process, monotonicMs: () => monotonicMs(process.wallMs()) }),
      };
    };
    expect(firstViolation(onWallClock)).toBe('cluster time is monotonic time');
  });

  it('one replica applies something else', () => {
    let replicas = 0;
    const make = (): SubnetStateMachine => {
      const odd = replicas++ % 2 === 1;
      return new Mistaken((_command, state) => (odd ? { ...state, epoch: 2 } : state));
    };
    expect(firstViolation(() => subnetWorkload(make))).toBe('equal state');
  });
});

it('without a mistake the same seeds are clean, and leases come, change and go', () => {
  const results = new Set<string>();
  const workload = (): Workload => {
    const { machine, command } = subnetWorkload();
    return {
      ...(command && { command }),
      machine: (process) => {
        const subnet = machine?.(process);
        if (!(subnet instanceof SimulatedSubnet)) throw new TypeError('no subnet machine');
        const apply = subnet.apply.bind(subnet);
        subnet.apply = (entry) => {
          const result = apply(entry);
          results.add(result.kind === 'acquired' && result.reusedFrom !== null ? 'reused' : result.kind);
          if (result.kind === 'acquired') results.add(familiesOf(result.lease));
          return result;
        };
        return subnet;
      },
    };
  };
  expect(firstViolation(workload)).toBeNull();
  const kinds = [
    'joined',
    'acquired',
    'renewed',
    'released',
    'reserved',
    'marked-absent',
    'reused',
    'refused',
    'IPv4',
    'IPv4 and IPv6',
    'IPv6',
  ];
  expect([...results]).toEqual(expect.arrayContaining(kinds));
});

function familiesOf({ subnet, ipv6Subnet }: Lease): string {
  return [subnet && 'IPv4', ipv6Subnet && 'IPv6'].filter((family) => family !== null).join(' and ');
}
