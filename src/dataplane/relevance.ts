/**
 * Which kernel events concern a desired state. A host's ARP entries and foreign routes change all the time, and none
 * of that may cost a pass; what is doubtful concerns us. Pure.
 */
import { type Cidr, cidrCovers, cidrLength, cidrsOverlap } from '../net/cidr.ts';
import type { DesiredState } from './desired-state.ts';
import type { KernelEvent } from './kernel.ts';
import { MAIN_TABLE, ROUTE_PROTOCOL } from './ownership.ts';

const TABLE_LOCAL = 255;

export class Relevance {
  readonly #devices: ReadonlySet<string>;
  readonly #networks: readonly Cidr[];

  constructor(desired: DesiredState) {
    this.#devices = new Set(desired.devices.map(({ name }) => name));
    const peers = desired.routes.filter(({ table }) => table === MAIN_TABLE);
    this.#networks = outermost(peers.map(({ dst }) => dst));
  }

  concerns(event: KernelEvent): boolean {
    switch (event.kind) {
      case 'link':
      case 'address':
      case 'overflow':
        return true;
      case 'rule':
        return event.protocol === ROUTE_PROTOCOL;
      case 'neighbour':
        // An interface that is not known by name may be ours, just made.
        return this.#devices.size > 0 && (event.iface === null || this.#devices.has(event.iface));
      case 'route':
        if (event.protocol === ROUTE_PROTOCOL) return true;
        if (event.table !== MAIN_TABLE && event.table !== TABLE_LOCAL) return false;
        return this.#networks.some((network) => cidrsOverlap(network, event.dst));
    }
  }
}

/** Those that lie in no other: as a rule the container network alone. */
function outermost(networks: readonly Cidr[]): readonly Cidr[] {
  const found: Cidr[] = [];
  for (const network of [...networks].sort((a, b) => cidrLength(a) - cidrLength(b)))
    if (!found.some((outer) => cidrCovers(outer, network))) found.push(network);
  return found;
}
