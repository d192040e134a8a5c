/**
 * Whether this host already uses the container network for something else: an address or a route in it that is
 * neither ours nor a bridge of Docker that gets its subnet from us would break, or break us. Pure.
 */
import { LEASE_BRIDGES } from '../docker/names.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Cidr, cidrContains, cidrCovers, cidrLength } from '../net/cidr.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { ActualRoute, ActualState } from './kernel.ts';
import { isMarked, LOOPBACK_METRIC, wasMadeByUs } from './ownership.ts';

const NAMED_MAX = 3;

export interface NetworkConflicts {
  /** Exit code 7. */
  readonly conflict: Refusal | null;
  /** Wider routes that cover the network: ours are longer and win, but the way they led is lost for these addresses. */
  readonly warnings: readonly Problem[];
}

/** `foreign`: routes of others that overlap the network. */
export function networkConflicts(
  network: Cidr,
  actual: ActualState,
  foreign: readonly ActualRoute[],
): NetworkConflicts {
  const exempt = new Set([...LEASE_BRIDGES, ...actual.links.filter(wasMadeByUs).map(({ name }) => name)]);
  const addresses = actual.addresses.filter(
    (address) =>
      cidrContains(network, address.ip) &&
      !exempt.has(address.iface) &&
      !(address.iface === 'lo' && isMarked(address)),
  );
  const routes = foreign.filter((route) => !isOfMarkedAddress(route) && !exempt.has(route.iface ?? ''));
  const inside = routes.filter(({ dst }) => cidrCovers(network, dst));
  const around = routes.filter(
    ({ dst }) => cidrLength(dst) > 0 && dst !== network && cidrCovers(dst, network),
  );
  return {
    conflict: conflict(network, [
      ...addresses.map(({ ip, prefixLength, iface }) => `the address ${ip}/${prefixLength} on ${iface}`),
      ...inside.map(({ dst, iface }) => `the route to ${dst}${iface === null ? '' : ` on ${iface}`}`),
    ]),
    warnings: around.map(({ dst, iface, via }) => ({
      code: 'network-covered',
      severity: 'warning',
      text: `The route to ${dst}${via === null ? '' : ` via ${via}`}${iface === null ? '' : ` on ${iface}`} covers the container network ${network}.`,
      fix: 'Make sure that nothing behind that route has an address in the container network.',
    })),
  };
}

/** The kernel makes it for an IPv6 address of ours. */
function isOfMarkedAddress({ iface, metric }: ActualRoute): boolean {
  return iface === 'lo' && metric === LOOPBACK_METRIC;
}

function conflict(network: Cidr, uses: readonly string[]): Refusal | null {
  if (uses.length === 0) return null;
  const named = uses.slice(0, NAMED_MAX).join(', ');
  const rest = uses.length > NAMED_MAX ? ` and ${uses.length - NAMED_MAX} more` : '';
  return refuse(
    'network-in-use',
    EXIT.conflict,
    `The container network ${network} is in use on this host: ${named}${rest}.`,
    'Choose another --network, or remove what uses this one.',
  );
}
