/**
 * What differs between the desired and the actual state, kind by kind. Pure. What is ours but not desired is extra;
 * what is somebody else's is never in it, except as a conflict where a device stands in the way. Whether somebody else's
 * route does is found by the kernel when ours is added.
 */
import { hostCidr } from '../net/cidr.ts';
import { type Family, ipFamily } from '../net/ip.ts';
import type { Link, LinkAddress, VxlanParameters } from '../net/link.ts';
import type {
  DesiredState,
  FdbEntry,
  InterfaceAddress,
  Neighbour,
  Route,
  Rule,
  VxlanDevice,
} from './desired-state.ts';
import type { ActualFdbEntry, ActualRoute, ActualRule, ActualState, Broadcast } from './kernel.ts';
import {
  aliasOf,
  isAdoptable,
  isOurAddress,
  isOurDevice,
  isOurRoute,
  isOurRule,
  MAIN_TABLE,
} from './ownership.ts';

/** `set`: missing or different, to be put in place. `extra`: ours and no longer desired. */
export interface Changes<Desired, Actual = Desired> {
  readonly set: readonly Desired[];
  readonly extra: readonly Actual[];
}

/** `add`: nothing of ours is there. `replace`: something of ours is, and different. */
export interface RouteChanges {
  readonly add: readonly Route[];
  readonly replace: readonly Route[];
  readonly extra: readonly ActualRoute[];
}

/** Somebody else's device where ours should be: nothing of ours can be on it. */
export interface DeviceConflict {
  readonly device: VxlanDevice;
  readonly holder: Link;
}

/** `recreate`: it is ours, but something about it can only be chosen when it is made. */
export interface DeviceChange {
  readonly action: 'create' | 'change' | 'recreate';
  readonly device: VxlanDevice;
  /** For `change`: the neighbours on it are lost, and in the lists below as missing. */
  readonly setMac: boolean;
  /** For `create`: one of ours that has its VNI under another name, and must go first. */
  readonly replaces: string | null;
}

export interface Delta {
  readonly devices: readonly DeviceChange[];
  /** Names; what is on them goes with them and is not in the lists below. */
  readonly extraDevices: readonly string[];
  readonly addresses: Changes<InterfaceAddress, LinkAddress>;
  readonly neighbours: Changes<Neighbour>;
  readonly fdb: Changes<FdbEntry, ActualFdbEntry>;
  readonly routes: RouteChanges;
  readonly rules: Changes<Rule, ActualRule>;
  /** In the way of an address of ours. */
  readonly broadcasts: readonly Broadcast[];
  readonly conflicts: readonly DeviceConflict[];
}

export function delta(desired: DesiredState, actual: ActualState, nodeId: string): Delta {
  const devices = compareDevices(desired.devices, actual.links, nodeId);
  const possible = <T extends OnInterface>({ iface }: T): boolean =>
    devices.conflicts.every(({ device }) => device.name !== iface);
  const mine = <T extends OnInterface>({ iface }: T): boolean => iface !== null && devices.kept.has(iface);
  const forgetful = new Set(devices.changes.filter(({ setMac }) => setMac).map(({ device }) => device.name));
  const { addresses } = desired;
  return {
    devices: devices.changes,
    extraDevices: devices.extra,
    addresses: {
      set: addresses.filter(possible).filter((wanted) => !actual.addresses.some(isAt(wanted, devices.going))),
      extra: actual.addresses.filter(
        (found) => isOurAddress(found, devices.kept) && !addresses.some((wanted) => isAt(wanted)(found)),
      ),
    },
    neighbours: compare(
      desired.neighbours,
      actual.neighbours.filter((found) => mine(found) && !forgetful.has(found.iface)),
      possible,
      ({ iface, ip }) => `${iface} ${ip}`,
      (wanted, found) => wanted.mac === found.mac,
    ),
    fdb: compare(
      desired.fdb,
      actual.fdb.filter(mine),
      possible,
      ({ iface, mac }) => `${iface} ${mac}`,
      (wanted, found) => wanted.dst === found.dst,
    ),
    routes: routeChanges(
      desired.routes,
      actual.routes.filter((route) => isOurRoute(route) && !goesFirst(route, devices, actual.addresses)),
      possible,
      (route) => route.iface !== null && devices.extra.includes(route.iface),
    ),
    rules: compare(
      desired.rules,
      actual.rules.filter(isOurRule),
      () => true,
      ruleKey,
      (_, found) => found.plain,
    ),
    broadcasts: actual.broadcasts.filter(({ ip }) =>
      addresses.some(({ address }) => address === hostCidr(ip)),
    ),
    conflicts: devices.conflicts,
  };
}

interface OnInterface {
  readonly iface: string | null;
}

interface DeviceComparison {
  readonly changes: readonly DeviceChange[];
  readonly conflicts: readonly DeviceConflict[];
  readonly extra: readonly string[];
  /** Ours and staying. */
  readonly kept: ReadonlySet<string>;
  /** About to be deleted, before anything else, and made anew. */
  readonly recreated: ReadonlySet<string>;
  /** Ours and about to be deleted, for good or to be made anew. */
  readonly going: ReadonlySet<string>;
}

function compareDevices(
  devices: readonly VxlanDevice[],
  links: readonly Link[],
  nodeId: string,
): DeviceComparison {
  const wanted = new Set(devices.map(({ name }) => name));
  const stale = new Set(
    links.filter((link) => isOurDevice(link, nodeId) && !wanted.has(link.name)).map(({ name }) => name),
  );
  const results = devices.map((device) => compareDevice(device, links, stale, nodeId));
  const changes = results.filter((result) => 'action' in result);
  const conflicts = results.filter((result) => 'holder' in result);
  const replaced = changes.flatMap(({ replaces }) => (replaces === null ? [] : [replaces]));
  const recreated = new Set([...namesOf(changes.filter(({ action }) => action === 'recreate')), ...replaced]);
  const extra = [...stale].filter((name) => !recreated.has(name));
  const notKept = new Set([...recreated, ...namesOf(changes.filter(({ action }) => action === 'create'))]);
  for (const name of namesOf(conflicts)) notKept.add(name);
  return {
    ...{ changes, conflicts, extra },
    recreated,
    kept: new Set([...wanted].filter((name) => !notKept.has(name))),
    going: new Set([...extra, ...recreated]),
  };
}

function namesOf(entries: readonly { readonly device: VxlanDevice }[]): readonly string[] {
  return entries.map(({ device }) => device.name);
}

/** `stale`: ours and no longer wanted. */
function compareDevice(
  device: VxlanDevice,
  links: readonly Link[],
  stale: ReadonlySet<string>,
  nodeId: string,
): DeviceChange | DeviceConflict | { readonly as: 'desired' } {
  const holder = links.find(({ name }) => name === device.name);
  if (holder === undefined) {
    const rival = links.find((link) => takesVni(link, device));
    if (rival !== undefined && !stale.has(rival.name)) return { device, holder: rival };
    return { action: 'create', device, setMac: false, replaces: rival?.name ?? null };
  }
  if (!isAdoptable(holder, device.mac)) return { device, holder };
  if (!canBecome(holder, device)) return { action: 'recreate', device, setMac: false, replaces: null };
  if (isLike(holder, device, nodeId)) return { as: 'desired' };
  return { action: 'change', device, setMac: holder.mac !== device.mac, replaces: null };
}

/** The kernel lets one device of a family have a VNI on a port. */
function takesVni({ vxlan }: Link, device: VxlanDevice): boolean {
  return (
    vxlan !== null &&
    vxlan.vni === device.vni &&
    vxlan.port === device.port &&
    familyOf(vxlan) === ipFamily(device.local)
  );
}

/** Of the outer packets; IPv4 where nothing says so. */
function familyOf({ local }: VxlanParameters): Family {
  return local === null ? 4 : ipFamily(local);
}

function canBecome({ vxlan }: Link, device: VxlanDevice): boolean {
  return (
    vxlan?.plain === true &&
    vxlan.gbp === device.gbp &&
    vxlan.vni === device.vni &&
    vxlan.port === device.port &&
    familyOf(vxlan) === ipFamily(device.local)
  );
}

function isLike(link: Link, device: VxlanDevice, nodeId: string): boolean {
  return (
    link.up &&
    link.alias === aliasOf(nodeId) &&
    link.mac === device.mac &&
    link.mtu === device.mtu &&
    link.vxlan?.local === device.local &&
    link.vxlan.learning === device.learning
  );
}

/** With a device that is made anew goes every route on it, and with its IPv4 address those of the main table that
 *  prefer it. (A device that goes for good goes last, when its address has a new place or no route prefers it any more.) */
function goesFirst(
  { table, iface, src }: ActualRoute,
  { recreated }: DeviceComparison,
  addresses: readonly LinkAddress[],
): boolean {
  if (recreated.size === 0) return false;
  if (iface !== null && recreated.has(iface)) return true;
  if (src === null || ipFamily(src) === 6 || table !== MAIN_TABLE) return false;
  return addresses.every((address) => address.ip !== src || recreated.has(address.iface));
}

/** An address that is there is kept, whoever made it. */
function isAt(wanted: InterfaceAddress, going?: ReadonlySet<string>): (found: LinkAddress) => boolean {
  return ({ iface, ip, prefixLength }) =>
    iface === wanted.iface && `${ip}/${prefixLength}` === wanted.address && going?.has(iface) !== true;
}

/** What is not possible now is neither set nor extra: what stands for it stays. */
function compare<Desired, Actual>(
  desired: readonly Desired[],
  actual: readonly Actual[],
  possible: (wanted: Desired) => boolean,
  keyOf: (entry: Desired | Actual) => string,
  same: (wanted: Desired, found: Actual) => boolean,
): Changes<Desired, Actual> {
  const wantedByKey = new Map(desired.map((wanted) => [keyOf(wanted), wanted]));
  const inPlace = new Set<string>();
  const extra: Actual[] = [];
  const different: Actual[] = [];
  for (const found of actual) {
    const key = keyOf(found);
    const wanted = wantedByKey.get(key);
    if (wanted === undefined) extra.push(found);
    else if (same(wanted, found)) inPlace.add(key);
    else different.push(found);
  }
  // The kernel allows several routes with one key; beside the right one the others are extra.
  extra.push(...different.filter((found) => inPlace.has(keyOf(found))));
  const set = [...wantedByKey].filter(([key, wanted]) => !inPlace.has(key) && possible(wanted));
  return { set: set.map(([, wanted]) => wanted), extra };
}

function routeChanges(
  desired: readonly Route[],
  ours: readonly ActualRoute[],
  possible: (wanted: Route) => boolean,
  goesLast: (found: ActualRoute) => boolean,
): RouteChanges {
  const staying = ours.filter((found) => !goesLast(found));
  const { set, extra } = compare(desired, staying, possible, routeKey, sameRoute);
  if (set.length === 0) return { add: [], replace: [], extra };
  const there = new Set(ours.map(routeKey));
  return {
    add: set.filter((route) => !there.has(routeKey(route))),
    replace: set.filter((route) => there.has(routeKey(route))),
    extra,
  };
}

function routeKey({ table, dst, metric }: Pick<Route, 'table' | 'dst' | 'metric'>): string {
  return `${table} ${dst} ${metric}`;
}

/** The whole of it: a rule is never changed. */
function ruleKey({ family, priority, mark, mask, table }: Rule): string {
  return `${family} ${priority} ${mark}/${mask} ${table}`;
}

function sameRoute(wanted: Route, found: ActualRoute): boolean {
  return (
    found.plain &&
    wanted.type === found.type &&
    wanted.via === found.via &&
    wanted.iface === found.iface &&
    wanted.onlink === found.onlink &&
    wanted.src === found.src &&
    wanted.mtu === found.mtu
  );
}
