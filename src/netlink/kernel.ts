/**
 * The real kernel behind the data plane's interface. Turns interface names into indexes and back, reads everything that
 * matters into one state, and passes on the events that this process did not cause itself. Both families, and what
 * IPv6 says otherwise is said as IPv4 does.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Neighbour } from '../dataplane/desired-state.ts';
import type {
  ActualFdbEntry,
  ActualRoute,
  ActualRule,
  ActualState,
  Kernel,
  KernelEvent,
  Op,
  OpFailure,
} from '../dataplane/kernel.ts';
import { isOurRoute, ROUTE_PROTOCOL } from '../dataplane/ownership.ts';
import { type Cidr, cidrBase, cidrLength, cidrsOverlap } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Link, RouteAnswer } from '../net/link.ts';
import type { Mac } from '../net/mac.ts';
import { NUD, RT_TABLE, RTN, RTNH_F } from './constants.ts';
import { type EventFilter, SPANS_MAX } from './event-filter.ts';
import { NetlinkHandle, type Request } from './handle.ts';
import type { NeighbourMessage, RouteMessage } from './messages.ts';
import { type MonitorEvent, NetlinkMonitor } from './monitor.ts';
import { requestsOf } from './requests.ts';
import { fewer, type Span, spanOf } from './span.ts';

export class NetlinkKernel implements Kernel, AsyncDisposable {
  readonly #handle: NetlinkHandle;
  readonly #monitor: NetlinkMonitor;
  readonly #concerns = new Map<string, readonly Span[]>();
  #routesIn: readonly Span[] | null = null;
  readonly #listeners = new Set<(event: KernelEvent) => void>();
  #indexes: ReadonlyMap<string, number> = new Map();
  #names: ReadonlyMap<number, string> = new Map();
  /** Indexes of vxlan devices. */
  #tunnels: readonly number[] = [];
  #filtered: EventFilter | null = null;
  /** As long as nothing that happened can have changed them: listing them walks a table of any size. */
  #defaults: readonly ActualRoute[] | null = null;
  #changesOfDefaults = 0;

  private constructor() {
    this.#handle = NetlinkHandle.open();
    this.#monitor = NetlinkMonitor.open(this.#filter(), (event) => this.#onEvent(event));
  }

  /** In the network namespace of the calling thread. Throws a NetlinkError. */
  static open(): NetlinkKernel {
    return new NetlinkKernel();
  }

  async read(): Promise<ActualState> {
    const links = await this.#links();
    const addresses = await this.#handle.addresses();
    const routes: ActualRoute[] = [];
    const rules: ActualRule[] = [];
    for (const family of FAMILIES) {
      for (const route of await this.#handle.routesOf(family, ROUTE_PROTOCOL))
        routes.push(this.#routeOf(route));
      rules.push(...(await this.#handle.rules(family)).filter(({ protocol }) => protocol === ROUTE_PROTOCOL));
    }
    const broadcasts = await this.#handle.routesIn(RT_TABLE.local, RTN.broadcast);
    const neighbours: Neighbour[] = [];
    const fdb: ActualFdbEntry[] = [];
    for (const { index, name } of links.filter(({ kind }) => kind === 'vxlan')) {
      neighbours.push(...(await this.#handle.neighbours(index)).flatMap((entry) => neighbourOf(name, entry)));
      fdb.push(...(await this.#handle.fdb(index)).flatMap((entry) => fdbEntryOf(name, entry)));
    }
    return {
      links,
      addresses: addresses.flatMap(({ index, ...address }) =>
        this.#on(index, (iface) => ({ ...address, iface })),
      ),
      routes,
      rules,
      broadcasts: broadcasts
        .filter(({ dst }) => cidrLength(dst) === 32)
        .flatMap(({ index, dst }) => this.#on(index, (iface) => ({ ip: cidrBase(dst), iface }))),
      neighbours,
      fdb,
    };
  }

  async apply(ops: readonly Op[]): Promise<readonly OpFailure[]> {
    const failures: OpFailure[] = [];
    // A device has no index until it is made, and what is on it comes after it.
    const lastDevice = ops.findLastIndex(({ kind }) => kind === 'device-create') + 1;
    for (const part of [ops.slice(0, lastDevice), ops.slice(lastDevice)]) {
      if (part.length === 0) continue;
      await this.#links();
      failures.push(...(await this.#applyPart(part)));
    }
    return failures;
  }

  async lookup(ip: Ip): Promise<RouteAnswer | null> {
    const route = await this.#handle.lookup(ip);
    if (route === null) return null;
    await this.#name([route]);
    return {
      type: ANSWER_TYPES.get(route.type) ?? 'other',
      iface: this.#nameOf(route.index),
      gateway: route.gateway,
      src: route.src,
    };
  }

  async neighboursOn(iface: string): Promise<ReadonlyMap<Ip, Mac>> {
    const index = (await this.#links()).find(({ name }) => name === iface)?.index;
    const entries = index === undefined ? [] : await this.#handle.neighbours(index);
    return new Map(
      entries.flatMap(({ ip, mac, state }) =>
        ip !== null && mac !== null && (state & NUD_ANSWERED) !== 0 ? [[ip, mac] as const] : [],
      ),
    );
  }

  async match(ips: readonly Ip[]): Promise<readonly (ActualRoute | null)[]> {
    const routes = await this.#handle.match(ips);
    await this.#name(routes);
    return routes.map((route) => (route === null ? null : this.#routeOf(route)));
  }

  async foreignRoutes(network: Cidr): Promise<readonly ActualRoute[]> {
    const routes = await this.#handle.mainRoutes(network);
    await this.#name(routes);
    return routes
      .map((route) => this.#routeOf(route))
      .filter((route) => !isOurRoute(route) && cidrsOverlap(route.dst, network));
  }

  async defaultRoutes(): Promise<readonly ActualRoute[]> {
    if (this.#defaults !== null) return this.#defaults;
    const seen = this.#changesOfDefaults;
    const found: RouteMessage[] = [];
    for (const family of FAMILIES) found.push(...(await this.#handle.defaultRoutes(family)));
    await this.#name(found);
    const routes = found.map((route) => this.#routeOf(route));
    // One that went while they were listed may be among them.
    if (seen === this.#changesOfDefaults) this.#defaults = routes;
    return routes;
  }

  concern(who: string, networks: readonly Cidr[]): void {
    this.#concerns.set(who, networks.map(spanOf));
    this.#routesIn = fewer([...this.#concerns.values()].flat(), SPANS_MAX);
    this.#setFilter();
  }

  onEvent(listener: (event: KernelEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  close(): void {
    this.#monitor.close();
    this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #links(): Promise<readonly Link[]> {
    const links = await this.#handle.links();
    this.#indexes = new Map(links.map(({ name, index }) => [name, index]));
    this.#names = new Map(links.map(({ name, index }) => [index, name]));
    this.#tunnels = links.filter(({ kind }) => kind === 'vxlan').map(({ index }) => index);
    this.#setFilter();
    return links;
  }

  /** Learns the names of their interfaces. */
  async #name(routes: readonly (RouteMessage | null)[]): Promise<void> {
    const unknown = routes.some((route) => typeof route?.index === 'number' && !this.#names.has(route.index));
    if (unknown) await this.#links();
  }

  #filter(): EventFilter {
    return {
      ownPort: this.#handle.portId,
      protocol: ROUTE_PROTOCOL,
      neighboursOn: this.#tunnels,
      routesIn: this.#routesIn,
    };
  }

  #setFilter(): void {
    const filter = this.#filter();
    if (isDeepStrictEqual(filter, this.#filtered)) return;
    this.#monitor.setFilter(filter);
    this.#filtered = filter;
  }

  async #applyPart(ops: readonly Op[]): Promise<readonly OpFailure[]> {
    const failures: OpFailure[] = [];
    const requests: Request[] = [];
    const owners: Op[] = [];
    for (const op of ops) {
      const bodies = requestsOf(op, (iface) => this.#indexes.get(iface));
      if (bodies === null && !isGone(op, 'ENODEV'))
        failures.push({ op, code: 'ENODEV', text: 'the interface is not there' });
      for (const body of bodies ?? []) {
        requests.push(body);
        owners.push(op);
      }
    }
    const failed = new Set<Op>();
    for (const [place, { code, reason }] of await this.#handle.change(requests)) {
      const op = owners[place];
      // Of a device that could not be made, the rest fails too.
      if (op === undefined || failed.has(op)) continue;
      failed.add(op);
      if (!isGone(op, code)) failures.push({ op, code, text: reason });
    }
    return failures;
  }

  #onEvent(event: MonitorEvent): void {
    for (const seen of this.#eventsOf(event)) {
      if (mayChangeDefaults(seen, this.#defaults)) {
        this.#defaults = null;
        this.#changesOfDefaults++;
      }
      for (const listener of [...this.#listeners]) listener(seen);
    }
  }

  #eventsOf(event: MonitorEvent): readonly KernelEvent[] {
    switch (event.kind) {
      case 'link': {
        const known = this.#nameOf(event.index);
        const names = known === null ? [event.name] : [...new Set([known, event.name])];
        return names.map((iface) => ({ kind: 'link', iface, vxlan: event.vxlan }));
      }
      case 'address':
      case 'neighbour':
        return [{ kind: event.kind, iface: this.#nameOf(event.index) }];
      case 'route':
      case 'rule':
      case 'overflow':
        return [event];
    }
  }

  #routeOf(route: RouteMessage): ActualRoute {
    const type = ROUTE_TYPES.get(route.type) ?? 'other';
    return {
      table: route.table,
      dst: route.dst,
      type,
      via: route.gateway,
      // IPv6 shows them on `lo`.
      iface: type === 'unreachable' ? null : this.#nameOf(route.index),
      onlink: (route.flags & RTNH_F.onlink) !== 0,
      src: route.src,
      mtu: route.mtu,
      metric: route.metric,
      protocol: route.protocol,
      plain: route.plain,
    };
  }

  #nameOf(index: number | null): string | null {
    return index === null ? null : (this.#names.get(index) ?? null);
  }

  /** An interface that came after the links were listed is seen by the next read. */
  #on<T>(index: number | null, make: (iface: string) => T): readonly T[] {
    const name = this.#nameOf(index);
    return name === null ? [] : [make(name)];
  }
}

/** Routes go with their interface, or with the address that they prefer, without a word. */
function mayChangeDefaults(event: KernelEvent, defaults: readonly ActualRoute[] | null): boolean {
  switch (event.kind) {
    case 'overflow':
      return true;
    case 'route':
      return cidrLength(event.dst) === 0;
    case 'link':
    case 'address':
      return event.iface === null || defaults === null || defaults.some(({ iface }) => iface === event.iface);
    case 'neighbour':
    case 'rule':
      return false;
  }
}

const FAMILIES: readonly Family[] = [4, 6];

const ROUTE_TYPES: ReadonlyMap<number, ActualRoute['type']> = new Map([
  [RTN.unicast, 'unicast'],
  [RTN.unreachable, 'unreachable'],
]);

const ANSWER_TYPES: ReadonlyMap<number, RouteAnswer['type']> = new Map([
  [RTN.unicast, 'unicast'],
  [RTN.local, 'local'],
  [RTN.broadcast, 'broadcast'],
  [RTN.multicast, 'multicast'],
]);

/** Somebody was faster: what was to be removed is not there. */
function isGone(op: Op, code: string): boolean {
  return op.kind.endsWith('-delete') && ['ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL'].includes(code);
}

/** Known now or a while ago, and not asked for in vain since. */
const NUD_ANSWERED: number = NUD.reachable | NUD.stale | NUD.delay | NUD.probe | NUD.permanent;

function neighbourOf(iface: string, { ip, mac, state }: NeighbourMessage): readonly Neighbour[] {
  return ip === null || mac === null || (state & NUD.permanent) === 0 ? [] : [{ iface, ip, mac }];
}

/** What the kernel learned by itself is neither permanent nor static. */
function fdbEntryOf(iface: string, { ip, mac, state, plain }: NeighbourMessage): readonly ActualFdbEntry[] {
  if (mac === null || (state & (NUD.permanent | NUD.noarp)) === 0) return [];
  return [{ iface, mac, dst: plain ? ip : null }];
}
