/**
 * A kernel in memory, with the rules of the real one that the data plane depends on: a replace looks at destination
 * and metric and not at who made the route, a next hop must be on a link, a device takes along what is on it, an
 * address takes along the routes that prefer it. test/lab/kernel holds it to the real one by one contract suite.
 * Faults are planted with `failNext`; what others do is done to the fields, and told with `emit`.
 */
import type { Neighbour, Route, Rule, VxlanDevice } from '../../src/dataplane/desired-state.ts';
import {
  type ActualFdbEntry,
  type ActualRoute,
  type ActualRule,
  type ActualState,
  type Broadcast,
  type Kernel,
  KernelError,
  type KernelEvent,
  type Op,
  type OpFailure,
} from '../../src/dataplane/kernel.ts';
import {
  isOurRoute,
  LOOPBACK_LABEL,
  LOOPBACK_METRIC,
  MAIN_TABLE,
  ROUTE_PROTOCOL,
} from '../../src/dataplane/ownership.ts';
import {
  type Cidr,
  cidrBase,
  cidrContains,
  cidrFamily,
  cidrLength,
  cidrOf,
  cidrsOverlap,
  toCidr,
} from '../../src/net/cidr.ts';
import { type Family, type Ip, ipFamily, toIp } from '../../src/net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../../src/net/link.ts';
import type { Mac } from '../../src/net/mac.ts';

const PROTOCOL_KERNEL = 2;
const V6_KERNEL_METRIC = 256;

/** An errno's name. Null: done. */
type Outcome = string | null;

export class FakeKernel implements Kernel {
  links: readonly Link[] = [
    { ...nic('lo', 1), mtu: 65_536, loopback: true },
    { ...nic('eth0', 2), mtu: 1500 },
  ];
  addresses: readonly LinkAddress[] = [];
  routes: readonly ActualRoute[] = [];
  rules: readonly ActualRule[] = [];
  broadcasts: readonly Broadcast[] = [];
  neighbours: readonly Neighbour[] = [];
  fdb: readonly ActualFdbEntry[] = [];
  /** Everything that was ever asked for. */
  readonly applied: Op[] = [];
  reads = 0;
  /** Addresses that were asked for. */
  readonly matched: Ip[] = [];
  readonly #listeners = new Set<(event: KernelEvent) => void>();
  readonly #failing = new Map<Op['kind'] | 'read', number>();
  #nextIndex = 3;

  constructor() {
    this.addAddress('eth0', toIp('10.99.1.11'), 24);
    this.addAddress('eth0', toIp('fd00:99:1::11'), 64);
  }

  /** The next `times` operations of a kind, or reads, fail with EIO. */
  failNext(kind: Op['kind'] | 'read', times = 1): void {
    this.#failing.set(kind, times);
  }

  emit(event: KernelEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  async read(): Promise<ActualState> {
    this.reads++;
    if (this.#fails('read')) throw new KernelError('EIO', 'read', 'planted');
    const { links, addresses, rules, broadcasts, neighbours, fdb } = this;
    const routes = this.routes.filter(({ protocol }) => protocol === ROUTE_PROTOCOL);
    return { links, addresses, routes, rules, broadcasts, neighbours, fdb };
  }

  async apply(ops: readonly Op[]): Promise<readonly OpFailure[]> {
    const failures: OpFailure[] = [];
    for (const op of ops) {
      this.applied.push(op);
      const code = this.#fails(op.kind) ? 'EIO' : this.#apply(op);
      if (code !== null) failures.push({ op, code, text: 'refused by the fake' });
    }
    return failures;
  }

  async lookup(ip: Ip): Promise<RouteAnswer | null> {
    if (this.addresses.some((address) => address.ip === ip))
      return { type: 'local', iface: 'lo', gateway: null, src: ip };
    const best = this.#best(ip);
    if (best === null || best.type !== 'unicast') return null;
    const first =
      this.addresses.find((it) => it.iface === best.iface && ipFamily(it.ip) === ipFamily(ip))?.ip ?? null;
    return { type: 'unicast', iface: best.iface, gateway: best.via, src: best.src ?? first };
  }

  async neighboursOn(iface: string): Promise<ReadonlyMap<Ip, Mac>> {
    const here = this.neighbours.filter((neighbour) => neighbour.iface === iface);
    return new Map(here.map(({ ip, mac }) => [ip, mac]));
  }

  async match(ips: readonly Ip[]): Promise<readonly (ActualRoute | null)[]> {
    this.matched.push(...ips);
    return ips.map((ip) => {
      const best = this.#best(ip);
      return best?.type === 'unicast' ? best : null;
    });
  }

  async foreignRoutes(network: Cidr): Promise<readonly ActualRoute[]> {
    return this.routes.filter(
      (route) => route.table === MAIN_TABLE && !isOurRoute(route) && cidrsOverlap(route.dst, network),
    );
  }

  async defaultRoutes(): Promise<readonly ActualRoute[]> {
    return this.routes.filter(({ table, dst }) => table === MAIN_TABLE && cidrLength(dst) === 0);
  }

  concern(): void {
    // Every event is told.
  }

  onEvent(listener: (event: KernelEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  link(name: string): Link | undefined {
    return this.links.find((link) => link.name === name);
  }

  /** With the connected route, as the kernel makes it. */
  addAddress(iface: string, ip: Ip, prefixLength: number, marked = false): void {
    const inet6 = ipFamily(ip) === 6;
    const label = inet6 ? null : marked ? LOOPBACK_LABEL : iface;
    const address: LinkAddress = {
      ...{ iface, ip, prefixLength, label, metric: inet6 && marked ? LOOPBACK_METRIC : 0, scope: 'global' },
      ...{ permanent: true, deprecated: false, temporary: false, tentative: false },
    };
    this.addresses = [...this.addresses, address];
    if (!inet6 && prefixLength === 32) return;
    const route: Route = {
      ...{
        table: MAIN_TABLE,
        dst: cidrOf(ip, prefixLength),
        type: 'unicast',
        via: null,
        iface,
        onlink: false,
      },
      ...{ src: inet6 ? null : ip, mtu: null, metric: inet6 ? address.metric || V6_KERNEL_METRIC : 0 },
    };
    this.routes = [...this.routes, { ...route, protocol: PROTOCOL_KERNEL, plain: true }];
  }

  removeAddress(iface: string, ip: Ip): Outcome {
    const left = this.addresses.filter((address) => address.iface !== iface || address.ip !== ip);
    if (left.length === this.addresses.length) return 'EADDRNOTAVAIL';
    this.addresses = left;
    if (ipFamily(ip) === 6) this.#dropConnected(iface, ip);
    if (left.some((address) => address.ip === ip)) return null;
    this.routes =
      ipFamily(ip) === 4
        ? this.routes.filter(({ src, table }) => src !== ip || table !== MAIN_TABLE)
        : this.routes.map((it) => (it.src === ip ? { ...it, src: null } : it));
    return null;
  }

  setUp(name: string, up: boolean): void {
    this.links = this.links.map((link) => (link.name === name ? { ...link, up } : link));
    if (up) return;
    this.routes = this.routes.filter(({ iface }) => iface !== name);
    this.neighbours = this.neighbours.filter(({ iface }) => iface !== name);
    // IPv4 keeps its addresses, IPv6 the preference for what is gone.
    this.addresses = this.addresses.filter(({ iface, ip }) => iface !== name || ipFamily(ip) === 4);
  }

  addVxlan(
    device: Omit<VxlanDevice, 'local'> & { readonly local: Ip | null },
    alias: string | null,
  ): Outcome {
    const { name, vni, port, local, learning, gbp, mac, mtu } = device;
    if (this.link(name) !== undefined) return 'EEXIST';
    const family = familyOf(local);
    if (this.links.some((it) => isVxlan(it, vni, port) && familyOf(it.vxlan?.local ?? null) === family))
      return 'EEXIST';
    const vxlan = { vni, port, local, learning, gbp, plain: true };
    const link: Link = { ...nic(name, this.#nextIndex++), kind: 'vxlan', alias, mac, mtu, vxlan };
    this.links = [...this.links, link];
    return null;
  }

  removeLink(name: string): Outcome {
    if (this.link(name) === undefined) return 'ENODEV';
    this.setUp(name, false);
    const elsewhere = ({ iface }: { readonly iface: string }): boolean => iface !== name;
    this.links = this.links.filter((link) => link.name !== name);
    for (const { iface, ip } of this.addresses) if (iface === name) this.removeAddress(iface, ip);
    this.broadcasts = this.broadcasts.filter(elsewhere);
    this.fdb = this.fdb.filter(elsewhere);
    return null;
  }

  #best(ip: Ip): ActualRoute | null {
    const [best] = this.routes
      .filter(({ table, dst }) => table === MAIN_TABLE && cidrContains(dst, ip))
      .sort((a, b) => cidrLength(b.dst) - cidrLength(a.dst) || a.metric - b.metric);
    return best ?? null;
  }

  #dropConnected(name: string, ip: Ip): void {
    this.routes = this.routes.filter(
      ({ protocol, iface, dst }) => protocol !== PROTOCOL_KERNEL || iface !== name || !cidrContains(dst, ip),
    );
  }

  #fails(kind: Op['kind'] | 'read'): boolean {
    const times = this.#failing.get(kind) ?? 0;
    this.#failing.set(kind, Math.max(0, times - 1));
    return times > 0;
  }

  #apply(op: Op): Outcome {
    switch (op.kind) {
      case 'device-create':
        return this.addVxlan(op.device, op.alias);
      case 'device-change':
        return this.#changeDevice(op.device, op.alias, op.setMac);
      case 'device-delete':
        this.removeLink(op.name);
        return null;
      case 'address-add': {
        const { iface, address } = op.address;
        if (this.link(iface) === undefined) return 'ENODEV';
        this.addAddress(iface, cidrBase(address), cidrLength(address), op.marked);
        return null;
      }
      case 'address-delete':
        this.removeAddress(op.address.iface, op.address.ip);
        return null;
      case 'broadcast-delete':
        this.broadcasts = this.broadcasts.filter((broadcast) => broadcast.ip !== op.broadcast.ip);
        return null;
      case 'neighbour-set':
      case 'neighbour-delete': {
        const { iface, ip } = op.neighbour;
        if (this.link(iface) === undefined) return op.kind === 'neighbour-set' ? 'ENODEV' : null;
        const others = this.neighbours.filter((entry) => entry.iface !== iface || entry.ip !== ip);
        this.neighbours = op.kind === 'neighbour-set' ? [...others, op.neighbour] : others;
        return null;
      }
      case 'fdb-set':
      case 'fdb-delete': {
        const { iface, mac } = op.entry;
        if (this.link(iface) === undefined) return op.kind === 'fdb-set' ? 'ENODEV' : null;
        if (this.link(iface)?.kind !== 'vxlan') return 'EOPNOTSUPP';
        const others = this.fdb.filter((entry) => entry.iface !== iface || entry.mac !== mac);
        this.fdb = op.kind === 'fdb-set' ? [...others, op.entry] : others;
        return null;
      }
      case 'route-add':
        return this.#at(op.route) === undefined ? this.#setRoute(op.route) : 'EEXIST';
      case 'route-replace':
        return this.#setRoute(op.route);
      case 'route-delete':
        this.#deleteRoute(op.route);
        return null;
      case 'rule-add':
        if (this.rules.some((rule) => isSameRule(rule, op.rule))) return 'EEXIST';
        this.rules = [...this.rules, { ...op.rule, protocol: ROUTE_PROTOCOL, plain: true }];
        return null;
      case 'rule-delete': {
        const found = this.rules.find((rule) => isSameRule(rule, op.rule));
        this.rules = this.rules.filter((rule) => rule !== found);
        return null;
      }
    }
  }

  #changeDevice(device: VxlanDevice, alias: string, setMac: boolean): Outcome {
    const { name, vni, port, local, learning, mac, mtu } = device;
    const link = this.link(name);
    if (link?.vxlan == null) return link === undefined ? 'ENODEV' : 'EOPNOTSUPP';
    if (link.vxlan.vni !== vni || link.vxlan.port !== port) return 'EOPNOTSUPP';
    const vxlan = { ...link.vxlan, local, learning };
    if (setMac) this.neighbours = this.neighbours.filter(({ iface }) => iface !== name);
    const changed = { ...link, alias, mac: setMac ? mac : link.mac, mtu, up: true, vxlan };
    this.links = this.links.map((other) => (other === link ? changed : other));
    return null;
  }

  #setRoute(route: Route): Outcome {
    const { dst, iface, via, src, onlink } = route;
    const link = iface === null ? undefined : this.link(iface);
    if (iface !== null && link === undefined) return 'ENODEV';
    if (link?.up === false) return 'ENETDOWN';
    if (src !== null && !this.addresses.some(({ ip }) => ip === src)) return 'EINVAL';
    const onLink = (hop: Ip): boolean =>
      this.routes.some(
        (other) =>
          other.table === MAIN_TABLE &&
          other.iface === iface &&
          other.via === null &&
          cidrContains(other.dst, hop),
      );
    if (via !== null && onlink && this.#leadsElsewhere(via, iface)) return 'EINVAL';
    if (via !== null && !onlink && !isLinkLocal(via) && !onLink(via))
      return cidrFamily(dst) === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH';
    const replaced = this.#at(route);
    const made: ActualRoute = { ...route, protocol: ROUTE_PROTOCOL, plain: true };
    this.routes = [...this.routes.filter((other) => other !== replaced), made];
    return null;
  }

  /** IPv6 looks where its route in use leads; a default route does not count. */
  #leadsElsewhere(via: Ip, iface: string | null): boolean {
    const best = ipFamily(via) === 6 ? this.#best(via) : null;
    return best?.type === 'unicast' && cidrLength(best.dst) > 0 && best.iface !== iface;
  }

  /** The kernel tells routes apart by these, whoever made them. */
  #at({ table, dst, metric }: Route): ActualRoute | undefined {
    return this.routes.find((it) => it.table === table && it.dst === dst && it.metric === metric);
  }

  #deleteRoute({ table, dst, metric, via, iface }: ActualRoute): void {
    const found = this.routes.find(
      (route) =>
        route.protocol === ROUTE_PROTOCOL &&
        route.table === table &&
        route.dst === dst &&
        route.metric === metric &&
        route.via === via &&
        route.iface === iface,
    );
    this.routes = this.routes.filter((route) => route !== found);
  }
}

function isLinkLocal(ip: Ip): boolean {
  return cidrContains(toCidr('fe80::/10'), ip);
}

function isVxlan({ vxlan }: Link, vni: number, port: number): boolean {
  return vxlan?.vni === vni && vxlan.port === port;
}

/** Of a device's outer packets. */
function familyOf(local: Ip | null): Family {
  return local === null ? 4 : ipFamily(local);
}

function isSameRule(a: ActualRule, b: Rule): boolean {
  return (
    a.protocol === ROUTE_PROTOCOL &&
    a.family === b.family &&
    a.priority === b.priority &&
    a.mark === b.mark &&
    a.mask === b.mask &&
    a.table === b.table
  );
}

function nic(name: string, index: number): Link {
  return {
    index,
    name,
    kind: null,
    alias: null,
    mac: null,
    mtu: 1500,
    up: true,
    loopback: false,
    vxlan: null,
  };
}
