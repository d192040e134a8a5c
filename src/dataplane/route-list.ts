/** The routes to peers as a user reads them: what should be there, what is, and whose. Pure. */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { delta } from './delta.ts';
import type { DesiredState } from './desired-state.ts';
import type { ActualRoute, ActualState } from './kernel.ts';
import { MAIN_TABLE, ROUTE_PROTOCOL } from './ownership.ts';

export interface ListedRoute {
  readonly dst: Cidr;
  readonly via: Ip | null;
  readonly dev: string | null;
  /** `foreign`: somebody else's is used in place of ours. `stale`: ours, and not wanted any more. */
  readonly state: 'installed' | 'missing' | 'foreign' | 'stale';
  /** Who made the route that is there; null where there is none. */
  readonly owner: string | null;
}

/** Of /etc/iproute2/rt_protos, those that a host is likely to have. */
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [2, 'kernel'],
  [3, 'boot'],
  [4, 'static'],
  [16, 'dhcp'],
  [186, 'bgp'],
  [188, 'ospf'],
  [ROUTE_PROTOCOL, 'tsflannel'],
]);

export function routeList(
  desired: DesiredState,
  actual: ActualState,
  rivals: ReadonlyMap<Cidr, ActualRoute | null>,
  nodeId: string,
): readonly ListedRoute[] {
  const { routes } = delta(desired, actual, nodeId);
  const missing = new Set([...routes.add, ...routes.replace].filter(inMain).map(({ dst }) => dst));
  const wanted = desired.routes
    .filter((route) => route.type === 'unicast' && inMain(route))
    .map(({ dst, via, iface }): ListedRoute => {
      const rival = rivals.get(dst);
      if (rival === null) return { dst, via: null, dev: null, state: 'foreign', owner: null };
      if (rival !== undefined) return listed(rival, 'foreign');
      if (missing.has(dst)) return { dst, via, dev: iface, state: 'missing', owner: null };
      return { dst, via, dev: iface, state: 'installed', owner: 'tsflannel' };
    });
  return [...wanted, ...routes.extra.filter(inMain).map((route) => listed(route, 'stale'))];
}

function inMain({ table }: { readonly table: number }): boolean {
  return table === MAIN_TABLE;
}

function listed({ dst, via, iface, protocol }: ActualRoute, state: ListedRoute['state']): ListedRoute {
  return { dst, via, dev: iface, state, owner: PROTOCOLS.get(protocol) ?? `protocol ${protocol}` };
}
