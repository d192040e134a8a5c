/**
 * Watches leases from outside of the state machine, over all replicas of one run: no two leases overlap, none is given,
 * moved, lost or changed without a command that says so, cluster time never runs faster than the fastest monotonic clock
 * nor backwards, and every replica has the same state. Shares the types of src/subnet and none of its logic.
 *
 * The first replica to apply an index is looked at closely; of the others the whole state is compared now and then.
 */
import { crc32 } from 'node:zlib';
import { check } from '../../raft/sim/index.ts';
import type { Command } from '../../src/subnet/command.ts';
import { type Lease, leaseKey } from '../../src/subnet/lease.ts';
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
    checkOverlaps([...after.leases.values()]);
    for (const lease of after.leases.values()) checkChange(command, before, lease);
    for (const lease of before.leases.values()) {
      if (!after.leases.has(leaseKey(lease))) checkLoss(command, before, lease);
    }
  }
}

function checkOverlaps(leases: readonly Lease[]): void {
  const ranges = leases.map((lease) => rangeOf(leaseKey(lease))).sort((a, b) => a.first - b.first);
  for (const [i, range] of ranges.entries()) {
    const next = ranges[i + 1];
    check(next === undefined || next.first > range.last, 'no overlapping leases', () => {
      return `leases of ${range.subnet} and ${next?.subnet} overlap`;
    });
  }
}

function rangeOf(subnet: string): { readonly subnet: string; readonly first: number; readonly last: number } {
  const [base = '', length = ''] = subnet.split('/');
  const first = base.split('.').reduce((address, byte) => address * 256 + Number(byte), 0);
  return { subnet, first, last: first + 2 ** (32 - Number(length)) - 1 };
}

/** Why `lease` is what it is now: it was so before, or the command says so. */
function checkChange(command: Command, before: ClusterState, lease: Lease): void {
  const old = before.leases.get(leaseKey(lease));
  if (old === lease) return;
  const what = `${command.kind} makes ${show(lease)} of ${old === undefined ? 'nothing' : show(old)}`;
  if (old === undefined || old.nodeId !== lease.nodeId) {
    check(
      command.kind === 'acquire' && command.nodeId === lease.nodeId,
      'no lease without its acquire',
      () => what,
    );
    const free =
      old === undefined ||
      isVacated(command, before, old) ||
      (old.state === 'absent' && old.expiresAt + DAYS_7_MS <= Math.max(before.time, command.time));
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

function checkLoss(command: Command, before: ClusterState, lease: Lease): void {
  const given =
    isVacated(command, before, lease) ||
    (command.kind === 'release' && command.nodeId === lease.nodeId && command.subnet === lease.subnet) ||
    (command.kind === 'member-remove' && command.nodeId === lease.nodeId && !command.keepsLease);
  check(given, 'no lease lost without a command', () => `${command.kind} takes ${show(lease)} away`);
}

/** Kept for a host that was removed, and now another host has its address. */
function isVacated(command: Command, before: ClusterState, lease: Lease): boolean {
  const takesAddress =
    (command.kind === 'acquire' || command.kind === 'update-attributes') &&
    command.attributes.publicIp === lease.attributes.publicIp;
  return takesAddress && !before.members.has(lease.nodeId);
}

function show({ subnet, nodeId, state, expiresAt }: Lease): string {
  return `${state} ${subnet} of ${nodeId.slice(0, 8)} until ${expiresAt}`;
}
