/**
 * Watches leases from outside of the state machine, over all replicas of one run: no two leases overlap, none is given,
 * moved, lost or changed without a command that says so, cluster time never runs faster than the fastest monotonic clock
 * nor backwards, and every replica has the same state. Shares the types of src/subnet and none of its logic.
 *
 * The first replica to apply an index is looked at closely; of the others the whole state is compared now and then.
 */
import { crc32 } from 'node:zlib';
import { check } from '../../raft/sim/index.ts';
import type { Cidr } from '../../src/net/cidr.ts';
import type { Command } from '../../src/subnet/command.ts';
import { type Lease, leaseKey, subnetsOf } from '../../src/subnet/lease.ts';
import { type ClusterState, encodeState } from '../../src/subnet/state.ts';

/** Whole states are compared at every index that this divides. */
const COMPARED_EVERY = 32;
const DAYS_7_MS = 7 * 24 * 3_600_000;

/** One command as a replica applied it. */
export interface Application {
  readonly index: number;
  readonly command: Command;
  readonly before: ClusterState | null;
  readonly after: ClusterState | null;
  /** The most that cluster time can be by now. */
  readonly timeMax: number;
}

export class LeaseLedger {
  #lastIndex = 0;
  readonly #digests = new Map<number, number>();

  applied(application: Application): void {
    const { index, after } = application;
    if (index > this.#lastIndex) {
      this.#lastIndex = index;
      this.#checkFirst(application);
    }
    if (index % COMPARED_EVERY === 0) this.#compare(index, after);
  }

  #compare(index: number, state: ClusterState | null): void {
    const digest = crc32(encodeState(state));
    const known = this.#digests.get(index) ?? digest;
    check(known === digest, 'equal state', () => `two replicas have different states at ${index}`);
    this.#digests.set(index, digest);
  }

  #checkFirst({ command, before, after, timeMax }: Application): void {
    if (after === null) return;
    check(
      after.time >= (before?.time ?? 0) && after.time <= timeMax,
      'cluster time is monotonic time',
      () => {
        return `cluster time goes from ${before?.time ?? 0} to ${after.time}, it can be ${timeMax} at most`;
      },
    );
    if (before === null || before.leases === after.leases) return;
    const then = holders(before);
    const now = holders(after);
    checkOverlaps(now);
    for (const [subnet, lease] of now) checkChange(command, before, subnet, then.get(subnet), lease);
    for (const [subnet, lease] of then) {
      if (!now.has(subnet)) checkLoss(command, before, now, subnet, lease);
    }
  }
}

/** Each subnet by itself, of either family. */
function holders({ leases }: ClusterState): ReadonlyMap<Cidr, Lease> {
  const all: [Cidr, Lease][] = [];
  for (const lease of leases.values()) for (const subnet of subnetsOf(lease)) all.push([subnet, lease]);
  check(new Set(all.map(([subnet]) => subnet)).size === all.length, 'no overlapping leases', () => {
    return `one subnet is in two leases: ${all.map(([subnet]) => subnet).join(' ')}`;
  });
  return new Map(all);
}

function checkOverlaps(subnets: ReadonlyMap<Cidr, Lease>): void {
  const ranges = [...subnets.keys()].map(rangeOf);
  ranges.sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : 1));
  for (const [i, range] of ranges.entries()) {
    const next = ranges[i + 1];
    const apart = next === undefined || next.family !== range.family || next.first > range.last;
    check(apart, 'no overlapping leases', () => `leases of ${range.subnet} and ${next?.subnet} overlap`);
  }
}

interface Range {
  readonly subnet: string;
  readonly family: number;
  readonly first: bigint;
  readonly last: bigint;
}

function rangeOf(subnet: string): Range {
  const [base = '', length = ''] = subnet.split('/');
  const family = base.includes('.') ? 4 : 6;
  const first = family === 4 ? digits(base.split('.'), 8n, '') : digits(hexGroups(base), 16n, '0x');
  const hostBits = BigInt((family === 4 ? 32 : 128) - Number(length));
  return { subnet, family, first, last: first + (1n << hostBits) - 1n };
}

function digits(parts: readonly string[], bits: bigint, prefix: string): bigint {
  return parts.reduce((sum, part) => (sum << bits) + BigInt(prefix + part), 0n);
}

function hexGroups(base: string): readonly string[] {
  const [head = [], tail = []] = base
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  return [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
}

/** Why the holder of `subnet` is `lease` now: it was so before, or the command says so. */
function checkChange(
  command: Command,
  before: ClusterState,
  subnet: Cidr,
  old: Lease | undefined,
  lease: Lease,
): void {
  if (old === lease) return;
  const what = `${command.kind} makes ${show(lease)} at ${subnet} of ${old === undefined ? 'nothing' : show(old)}`;
  if (old === undefined || old.nodeId !== lease.nodeId) {
    check(
      command.kind === 'acquire' && command.nodeId === lease.nodeId,
      'no lease without its acquire',
      () => what,
    );
    const free = old === undefined || isVacated(command, before, old) || isForfeit(command, before, old);
    check(free, 'no lease lost without a command', () => what);
    return;
  }
  const own = 'nodeId' in command && command.nodeId === lease.nodeId;
  const why: Record<Lease['state'], boolean> = {
    active: own && (command.kind === 'acquire' || command.kind === 'renew'),
    absent:
      (command.kind === 'mark-absent' && command.subnets.includes(leaseKey(lease))) ||
      (command.kind === 'member-remove' && own && command.keepsLease),
    draining: own && command.kind === 'acquire',
  };
  check(old.state === lease.state || why[lease.state], 'no lease changed without a command', () => what);
  const renewed = own && (command.kind === 'acquire' || command.kind === 'renew');
  check(old.expiresAt === lease.expiresAt || renewed, 'no lease changed without a command', () => what);
  const described = own && (command.kind === 'acquire' || command.kind === 'update-attributes');
  check(old.attributes === lease.attributes || described, 'no lease changed without a command', () => what);
}

function checkLoss(
  command: Command,
  before: ClusterState,
  now: ReadonlyMap<Cidr, Lease>,
  subnet: Cidr,
  lease: Lease,
): void {
  // Who loses one subnet to somebody else loses the other one with it.
  const hasLostOther = subnetsOf(lease).some((one) => now.has(one) && now.get(one)?.nodeId !== lease.nodeId);
  const given =
    isVacated(command, before, lease) ||
    (hasLostOther && isForfeit(command, before, lease)) ||
    (command.kind === 'release' && command.nodeId === lease.nodeId && command.subnet === leaseKey(lease)) ||
    (command.kind === 'member-remove' && command.nodeId === lease.nodeId && !command.keepsLease);
  check(
    given,
    'no lease lost without a command',
    () => `${command.kind} takes ${subnet} from ${show(lease)}`,
  );
}

/** Kept for a host that was removed, and now another host has its address. */
function isVacated(command: Command, before: ClusterState, lease: Lease): boolean {
  const takesAddress =
    (command.kind === 'acquire' || command.kind === 'update-attributes') &&
    (isSame(command.attributes.publicIp, lease.attributes.publicIp) ||
      isSame(command.attributes.publicIpv6, lease.attributes.publicIpv6));
  return takesAddress && !before.members.has(lease.nodeId);
}

function isSame(a: string | null, b: string | null): boolean {
  return a !== null && a === b;
}

/** Its owner has been absent for too long. */
function isForfeit(command: Command, before: ClusterState, lease: Lease): boolean {
  return lease.state === 'absent' && lease.expiresAt + DAYS_7_MS <= Math.max(before.time, command.time);
}

function show({ subnet, ipv6Subnet, nodeId, state, expiresAt }: Lease): string {
  return `${state} ${subnet} ${ipv6Subnet} of ${nodeId.slice(0, 8)} until ${expiresAt}`;
}
