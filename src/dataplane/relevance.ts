/**
 * Which kernel events concern a desired state. A host's ARP entries and foreign routes change all the time, and none
 * of that may cost a pass; what is doubtful concerns us. Pure.
 */
import { type Cidr, cidrCovers, cidrLength, cidrsOverlap } from '../net/cidr.ts';
import type { DesiredState } from './desired-state.ts';
import type { KernelEvent } from './kernel.ts';
import { ROUTE_PROTOCOL } from './ownership.ts';

const TABLE_MAIN = 254;
const TABLE_LOCAL = 255;

export class Relevance {
  readonly #device: string | undefined;
  readonly #networks: readonly Cidr[];

  constructor(desired: DesiredState) {
    this.#device = desired.vxlan?.name;
    this.#networks = outermost(desired.routes.map(({ dst }) => dst));
  }

  concerns(event: KernelEvent): boolean {
    switch (event.kind) {
      case 'link':
      case 'address':
      case 'overflow':
        return true;
      case 'rule':
        return false;
      case 'neighbour':
        // An interface that is not known by name may be ours, just made.
        return this.#device !== undefined && (event.iface === null || event.iface === this.#device);
      case 'route':
        if (event.protocol === ROUTE_PROTOCOL) return true;
        if (event.table !== TABLE_MAIN && event.table !== TABLE_LOCAL) return false;
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
