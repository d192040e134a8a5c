/**
 * The real subnet state machine in the simulator: what its hosts ask of it, drawn at random over a small world in which
 * they meet each other often, with cluster time kept as the product keeps it, and the ledger that watches the leases.
 */
import type { CommandEntry, ReplicaId } from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import type { Random, SimulatedProcess, Workload } from '../../raft/sim/index.ts';
import type { NetworkConfig } from '../../src/config/network-config.ts';
import { type Cidr, toCidr } from '../../src/net/cidr.ts';
import { toIp } from '../../src/net/ip.ts';
import {
  clusterTimeAt,
  expiredLeases,
  observeStamp,
  type TimeAnchor,
} from '../../src/subnet/cluster-time.ts';
import { type AcquireCommand, type Command, decodeCommand, encodeCommand } from '../../src/subnet/command.ts';
import type { CommandResult } from '../../src/subnet/command-result.ts';
import { type ClusterTime, leaseKey, toClusterTime } from '../../src/subnet/lease.ts';
import type { MemberProfile } from '../../src/subnet/member.ts';
import type { ClusterState } from '../../src/subnet/state.ts';
import { SubnetStateMachine } from '../../src/subnet/state-machine.ts';
import {
  attributes,
  bootstrapCommand,
  configOf,
  DAY_MS,
  dualAttributes,
  grant,
  profile,
} from '../unit/subnet/samples.ts';
import { LeaseLedger } from './lease-ledger.ts';

/** Nearly six days of lease time in a second: leases expire, and absent ones are given to others. */
const TIME_SCALE = 500_000;
/** The fastest clock of a simulated process. */
const CLOCK_RATE_MAX = 1.02;

const HOSTS = Array.from({ length: 8 }, (_, n) => profile(n + 1));
const IPV4_SUBNETS = [
  ...Array.from({ length: 8 }, (_, n) => toCidr(`10.5.0.${16 * n}/28`)),
  ...Array.from({ length: 8 }, (_, n) => toCidr(`10.5.0.${8 * n}/29`)),
];
const IPV6_SUBNETS = [
  ...Array.from({ length: 8 }, (_, n) => toCidr(`fd05::${(16 * n).toString(16)}/124`)),
  ...Array.from({ length: 8 }, (_, n) => toCidr(`fd05::${(8 * n).toString(16)}/125`)),
];
const dual = (networks: string): NetworkConfig => configOf(`{"EnableIPv6":true,${networks}}`);

/** Networks that one cluster may change between. The first of each has fewer subnets than there are hosts. */
const WORLDS = [
  {
    configs: [
      configOf('{"Network":"10.5.0.0/26","SubnetLen":28}'),
      configOf('{"Network":"10.5.0.0/25","SubnetLen":28,"SubnetMin":"10.5.0.0"}'),
      configOf('{"Network":"10.5.0.0/26","SubnetLen":29,"Backend":{"Type":"vxlan"}}'),
    ],
    subnets: IPV4_SUBNETS,
    attributes,
  },
  {
    configs: [
      dual('"Network":"10.5.0.0/26","SubnetLen":28,"IPv6Network":"fd05::/121","IPv6SubnetLen":124'),
      dual('"Network":"10.5.0.0/25","SubnetLen":28,"IPv6Network":"fd05::/122","IPv6SubnetLen":124'),
      dual('"Network":"10.5.0.0/26","SubnetLen":28,"IPv6Network":"fd05::/122","IPv6SubnetLen":125'),
      dual('"EnableIPv4":false,"IPv6Network":"fd05::/122","IPv6SubnetLen":124'),
    ],
    subnets: [...IPV4_SUBNETS, ...IPV6_SUBNETS],
    attributes: dualAttributes,
  },
] as const;

/** A replica's machine with its share of what the daemon does: it keeps cluster time. */
export class SimulatedSubnet implements StateMachine<CommandResult> {
  readonly #inner: SubnetStateMachine;
  readonly #process: SimulatedProcess;
  readonly #ledger: LeaseLedger;
  #anchor: TimeAnchor;

  constructor(inner: SubnetStateMachine, process: SimulatedProcess, ledger: LeaseLedger) {
    this.#inner = inner;
    this.#process = process;
    this.#ledger = ledger;
    this.#anchor = { time: toClusterTime(0), monotonicMs: this.#monotonicMs };
  }

  get state(): ClusterState | null {
    return this.#inner.state;
  }

  get clusterTime(): ClusterTime {
    return clusterTimeAt(this.#anchor, this.#monotonicMs);
  }

  apply(entry: CommandEntry): CommandResult {
    const before = this.#inner.state;
    const result = this.#inner.apply(entry);
    const after = this.#inner.state;
    this.#observe();
    const timeMax = this.#process.simulatedMs() * CLOCK_RATE_MAX * TIME_SCALE + TIME_SCALE;
    const command = decodeCommand(entry.payload);
    this.#ledger.applied({ index: entry.index, command, before, after, timeMax });
    return result;
  }

  snapshot(): Iterable<Uint8Array> {
    return this.#inner.snapshot();
  }

  restore(data: Uint8Array): void {
    this.#inner.restore(data);
    this.#observe();
  }

  get #monotonicMs(): number {
    return this.#process.monotonicMs() * TIME_SCALE;
  }

  #observe(): void {
    const { state } = this.#inner;
    if (state !== null) this.#anchor = observeStamp(this.#anchor, state.time, this.#monotonicMs);
  }
}

/** `make` is for checking the ledger: machines with a mistake. */
export function subnetWorkload(make: () => SubnetStateMachine = () => new SubnetStateMachine()): Workload {
  const ledger = new LeaseLedger();
  return {
    machine: (process) => new SimulatedSubnet(make(), process, ledger),
    command: (random, count, machine) => {
      if (!(machine instanceof SimulatedSubnet)) throw new TypeError('the machine of another workload');
      return encodeCommand(draw(random, count, machine));
    },
  };
}

const KINDS = [
  ...Array<'acquire'>(8).fill('acquire'),
  ...Array<'renew'>(6).fill('renew'),
  ...Array<'join'>(4).fill('join'),
  ...Array<'release'>(2).fill('release'),
  ...Array<'mark-absent'>(3).fill('mark-absent'),
  'reserve',
  'reserve',
  'unreserve',
  'unreserve',
  'update-attributes',
  'member-update',
  'member-role',
  'rejoin',
  'member-remove',
  'token-create',
  'token-revoke',
  'set-config',
] as const;

/** What the leader proposes for some host, stamped with its own idea of cluster time. */
function draw(random: Random, count: number, machine: SimulatedSubnet): Command {
  const { state } = machine;
  const time = machine.clusterTime;
  if (state === null) {
    const { configs } = pick(random, WORLDS);
    return bootstrapCommand({ time, token: grant('t1', { ttlMs: 300 * DAY_MS }), config: configs[0] });
  }
  const world = WORLDS[state.featureLevel === 1 ? 0 : 1];
  const number = random.integer(1, HOSTS.length);
  const host = { profile: profile(number), attributes: world.attributes(number) };
  const { nodeId } = host.profile;
  // Mostly new; sometimes one whose answer may have been lost.
  const requestId = `request-${random.chance(0.9) ? count : random.integer(Math.max(0, count - 9), count)}`;
  const held = [...state.leases.values()].find((lease) => lease.nodeId === nodeId);
  const subnet = held !== undefined && random.chance(0.8) ? leaseKey(held) : pick(random, world.subnets);
  const kind = pick(random, KINDS);
  switch (kind) {
    case 'acquire':
      return {
        kind,
        time,
        requestId,
        nodeId,
        attributes: host.attributes,
        ...wish(random, world.subnets),
        previous: random.sample(world.subnets, random.integer(0, 2)),
      };
    case 'renew':
    case 'release':
    case 'reserve':
      return { kind, time, nodeId, subnet };
    case 'unreserve':
      return { kind, time, subnet: pick(random, [...state.reservations.keys(), subnet]) };
    case 'mark-absent':
      return { kind, time, subnets: expiredLeases(state.leases.values(), time).map(leaseKey) };
    case 'update-attributes': {
      const n = random.integer(1, 9);
      const { publicIpv6 } = host.attributes;
      const elsewhere = {
        publicIp: toIp(`198.51.100.${n}`),
        publicIpv6: publicIpv6 && toIp(`2001:db8:1::${n}`),
      };
      return { kind, time, nodeId, attributes: { ...host.attributes, ...elsewhere } };
    }
    case 'set-config':
      return {
        kind,
        time,
        expectedRevision: state.configRevision,
        config: pick(random, world.configs),
        moveLeases: random.chance(0.5),
      };
    default:
      return drawMembers(random, kind, time, {
        requestId,
        profile: host.profile,
        replica: state.members.get(nodeId)?.replicaId ?? state.nextReplicaId,
      });
  }
}

/** Seldom a certain subnet. */
function wish(random: Random, subnets: readonly Cidr[]): Pick<AcquireCommand, 'wanted' | 'wantedIpv6'> {
  const subnet = random.chance(0.1) ? pick(random, subnets) : null;
  const isIpv6 = subnet?.includes(':') === true;
  return isIpv6 ? { wanted: null, wantedIpv6: subnet } : { wanted: subnet };
}

function drawMembers(
  random: Random,
  kind:
    | 'join'
    | 'rejoin'
    | 'member-update'
    | 'member-role'
    | 'member-remove'
    | 'token-create'
    | 'token-revoke',
  time: ClusterTime,
  host: {
    readonly requestId: string;
    readonly profile: MemberProfile;
    /** The replica that it is, or one that never was. */
    readonly replica: ReplicaId;
  },
): Command {
  const { requestId, replica: retired } = host;
  const { nodeId, name, address } = host.profile;
  const tokenId = pick(random, kind === 'token-revoke' ? ['t2', 't3'] : ['t1', 't1', 't1', 't2', 't3']);
  switch (kind) {
    case 'join':
      return { kind, time, requestId, tokenId, ...host.profile };
    case 'rejoin':
      return { kind, time, requestId, nodeId, retired };
    case 'member-role':
      return { kind, time, nodeId, wantsVoter: random.chance(0.5) };
    case 'member-update':
      return { kind, time, nodeId, name, address, port: random.integer(1, 9) };
    case 'member-remove':
      return { kind, time, nodeId, keepsLease: random.chance(0.5) };
    case 'token-create':
      return {
        kind,
        time,
        token: grant(pick(random, ['t2', 't3', `t-${requestId}`]), { ttlMs: random.integer(1, 5) * DAY_MS }),
      };
    case 'token-revoke':
      return { kind, time, tokenId };
  }
}

function pick<T>(random: Random, items: readonly T[]): T {
  const item = random.pick(items);
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}
