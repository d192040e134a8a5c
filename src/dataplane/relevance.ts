/**
 * Which kernel events concern a desired state. A host's ARP entries, foreign routes and the interfaces of containers
 * change all the time, and none of that may cost a pass; what is doubtful concerns us. Pure.
 */
import { type Cidr, cidrBase, cidrLength, cidrOf, cidrsOverlap } from '../net/cidr.ts';
import type { DesiredState } from './desired-state.ts';
import type { KernelEvent } from './kernel.ts';
import { MAIN_TABLE, ROUTE_PROTOCOL } from './ownership.ts';

const TABLE_LOCAL = 255;

export class Relevance {
  /** Of the main table's routes. */
  readonly networks: readonly Cidr[];
  readonly #devices: ReadonlySet<string>;
  readonly #interfaces: ReadonlySet<string | null>;

  constructor(desired: DesiredState) {
    const { devices, addresses, routes } = desired;
    this.networks = outermost(routes.filter(({ table }) => table === MAIN_TABLE).map(({ dst }) => dst));
    this.#devices = new Set(devices.map(({ name }) => name));
    this.#interfaces = new Set([
      ...this.#devices,
      ...addresses.map(({ iface }) => iface),
      ...routes.map(({ iface }) => iface),
    ]);
  }

  concerns(event: KernelEvent): boolean {
    switch (event.kind) {
      case 'overflow':
        return true;
      case 'link':
        // Somebody else's vxlan device may have the VNI that we need.
        return event.iface === null || event.vxlan || this.#interfaces.has(event.iface);
      case 'address':
        return event.iface === null || this.#interfaces.has(event.iface);
      case 'rule':
        return event.protocol === ROUTE_PROTOCOL;
      case 'neighbour':
        // An interface that is not known by name may be ours, just made.
        return this.#devices.size > 0 && (event.iface === null || this.#devices.has(event.iface));
      case 'route':
        if (event.protocol === ROUTE_PROTOCOL) return true;
        if (event.table !== MAIN_TABLE && event.table !== TABLE_LOCAL) return false;
        return this.networks.some((network) => cidrsOverlap(network, event.dst));
    }
  }
}

/** Those that lie in no other: as a rule the container network alone. */
function outermost(networks: readonly Cidr[]): readonly Cidr[] {
  const found = new Set<Cidr>();
  const lengths: number[] = [];
  for (const network of [...networks].sort((a, b) => cidrLength(a) - cidrLength(b))) {
    const length = cidrLength(network);
    if (lengths.some((wider) => found.has(cidrOf(cidrBase(network), wider)))) continue;
    found.add(network);
    if (lengths.at(-1) !== length) lengths.push(length);
  }
  return [...found];
}
