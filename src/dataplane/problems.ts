/** What the data plane cannot put right by itself, in the words a user reads. Pure, and bounded: one problem a kind. */
import type { Problem } from '../observe/agent-facts.ts';
import type { DeviceConflict } from './delta.ts';
import type { Route } from './desired-state.ts';
import type { Op, OpFailure } from './kernel.ts';
import { MAIN_TABLE } from './ownership.ts';

export function conflictProblems(conflicts: readonly DeviceConflict[]): readonly Problem[] {
  return conflicts.map(deviceConflict);
}

/** With how many more there are, so that a thousand routes are one sentence. */
export function routeConflictProblems(routes: readonly Route[]): readonly Problem[] {
  const [first] = routes;
  if (first === undefined) return [];
  const { dst, metric } = first;
  return [
    {
      code: 'route-conflict',
      severity: 'error',
      text: `A route to ${dst} with metric ${metric} that is not ours keeps ours out${more(routes.length)}.`,
      fix: `Remove it: ip route delete ${dst} metric ${metric}. Ours follows at once.`,
    },
  ];
}

function deviceConflict({ device, holder }: DeviceConflict): Problem {
  const what =
    holder.name === device.name
      ? `Interface ${holder.name} is there already and is not ours`
      : `Interface ${holder.name}, which is not ours, already has VNI ${device.vni} on port ${device.port}`;
  return {
    code: 'device-conflict',
    severity: 'error',
    text: `${what}; it is left alone, and hosts that need vxlan are not reached.`,
    fix: `Stop what made it (flannel?) and run "ip link delete ${holder.name}", or set another "VNI" in the network configuration.`,
  };
}

export function failureProblems(failures: readonly OpFailure[]): readonly Problem[] {
  const groups = new Map<string, { readonly first: OpFailure; count: number }>();
  for (const failure of failures) {
    const key = `${failure.op.kind} ${failure.code}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: failure, count: 1 });
    else group.count++;
  }
  return [...groups.values()].map(({ first, count }) => ({
    code: first.code === 'EPERM' ? 'kernel-forbids' : 'kernel-refuses',
    severity: 'error',
    text: `The kernel refuses ${describe(first.op)}: ${first.text} (${first.code})${more(count)}.`,
    fix:
      first.code === 'EPERM'
        ? 'Run the agent as root or give it CAP_NET_ADMIN.'
        : 'The agent keeps trying; look at the interface and the addresses named here.',
  }));
}

export function unreachableProblem({ message }: Error): Problem {
  return {
    code: 'kernel-unreachable',
    severity: 'error',
    text: `The state of the kernel cannot be compared: ${message}.`,
    fix: 'The agent keeps trying; containers keep talking as far as the kernel was programmed.',
  };
}

export function contestedProblem(entries: readonly string[]): Problem {
  return {
    code: 'contested',
    severity: 'warning',
    text: `Something on this host removes or changes ${entries[0]} again and again${more(entries.length)}; it is put back each time.`,
    fix: 'Find it with "ip monitor" (a network manager, another agent?) and tell it to leave this alone.',
  };
}

/** An operation and what it is about, as `ip` would write it. */
export function describe(op: Op): string {
  switch (op.kind) {
    case 'device-create':
    case 'device-change':
      return `the device ${op.device.name}`;
    case 'device-delete':
      return `to delete the device ${op.name}`;
    case 'address-add':
      return `the address ${op.address.address} on ${op.address.iface}`;
    case 'address-delete':
      return `to delete the address ${op.address.ip} from ${op.address.iface}`;
    case 'neighbour-set':
      return `the neighbour ${op.neighbour.ip} on ${op.neighbour.iface}`;
    case 'neighbour-delete':
      return `to delete the neighbour ${op.neighbour.ip} from ${op.neighbour.iface}`;
    case 'fdb-set':
      return `the FDB entry ${op.entry.mac} on ${op.entry.iface}`;
    case 'fdb-delete':
      return `to delete the FDB entry ${op.entry.mac} from ${op.entry.iface}`;
    case 'route-add':
    case 'route-replace':
      return `the route to ${op.route.dst}${way(op.route)}`;
    case 'route-delete':
      return `to delete the route to ${op.route.dst}${way(op.route)}`;
    case 'rule-add':
      return `the rule with priority ${op.rule.priority} for mark 0x${op.rule.mark.toString(16)}`;
    case 'rule-delete':
      return `to delete the rule with priority ${op.rule.priority} for mark 0x${op.rule.mark.toString(16)}`;
    case 'broadcast-delete':
      return `to delete the broadcast route to ${op.broadcast.ip} on ${op.broadcast.iface}`;
  }
}

function way({ via, iface, table }: Pick<Route, 'via' | 'iface' | 'table'>): string {
  const where = table === MAIN_TABLE ? '' : ` in table ${table}`;
  return `${via === null ? '' : ` via ${via}`}${iface === null ? '' : ` on ${iface}`}${where}`;
}

function more(count: number): string {
  return count > 1 ? ` (and ${count - 1} more like it)` : '';
}
