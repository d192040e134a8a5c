/**
 * Which interface and address of this host carry the traffic between hosts: flannel's rules for its flags, and a
 * better one where no flag is given (flannel's picks the NAT interface of every two-NIC virtual machine). Pure: links,
 * addresses and route lookups come in as facts. Never guesses: what cannot be found is a refusal that says why.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Family, type Ip, ipFamily, parseIp } from '../net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../net/link.ts';

/** The interface the data plane uses, at one moment: index, address and MTU change under a running agent. */
export interface HostFacts {
  readonly iface: string;
  readonly index: number;
  /** IPv4; null where the interface has none now. */
  readonly address: Ip | null;
  /** IPv6, never a link-local or a temporary one; null where the interface has none now. At least one is there. */
  readonly address6: Ip | null;
  readonly mtu: number;
}

export function hostAddress({ address, address6 }: HostFacts, family: Family): Ip | null {
  return family === 4 ? address : address6;
}

/** What the user asked for. */
export interface InterfaceWish {
  /** `--iface`: names or addresses, in order. */
  readonly iface: readonly string[];
  /** `--iface-regex`, in order, after every `--iface`. */
  readonly ifaceRegex: readonly string[];
  /** `--iface-can-reach`, after those. */
  readonly canReach: Ip | null;
  /** `--public-ip`: what peers are told; without the flags above also the address to look for. */
  readonly publicIp: Ip | null;
  /** `--public-ipv6`: the same for the other family. */
  readonly publicIpv6: Ip | null;
  /** The address that is joined, else null. */
  readonly joins: Ip | null;
  /** The addresses of `--peers`; one of them may be ours. */
  readonly peers: readonly Ip[];
  /** What the network has, in order of preference; both where it is not known yet. */
  readonly families: readonly Family[];
}

export interface InterfaceFacts {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  /** The way to `canReach`; null where there is none. */
  readonly wayToReach: RouteAnswer | null;
  /** The way to the address that is joined. */
  readonly wayToJoined: RouteAnswer | null;
  /** The interface of the main table's best default route in each family. */
  readonly defaultIfaces: Readonly<Record<Family, string | null>>;
}

export interface Selection {
  readonly host: HostFacts;
  /** What peers are told; null in a family that the interface has no address of. */
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
}

/** What the agents reach this host by, in this family if it has an address of it. */
export function controlAddress({ publicIp, publicIpv6 }: Selection, preferred: Family): Ip {
  const address = preferred === 4 ? (publicIp ?? publicIpv6) : (publicIpv6 ?? publicIp);
  if (address === null) throw new TypeError('an interface was chosen that has no address');
  return address;
}

/** Where this host speaks from in one family, and what it announces there. */
export function ownAddress(
  { host, publicIp, publicIpv6 }: Selection,
  family: Family,
): { readonly local: Ip; readonly announced: Ip } | null {
  const local = hostAddress(host, family);
  const announced = family === 4 ? publicIp : publicIpv6;
  return local && announced && { local, announced };
}

export type SelectionResult =
  | { readonly ok: true; readonly selection: Selection }
  | { readonly ok: false; readonly refusal: Refusal };

/** An interface, and the address on it where something named one. */
interface Hit {
  readonly iface: string;
  readonly ip: Ip | null;
}

export function selectInterface(wish: InterfaceWish, facts: InterfaceFacts): SelectionResult {
  const found = find(wish, facts);
  if ('code' in found) return { ok: false, refusal: found };
  const link = facts.links.find(({ name }) => name === found.iface);
  if (link === undefined) return refused(`Interface ${found.iface} is not there (any more).`, NAME_ONE);
  const addressIn = (family: Family): Ip | null =>
    (found.ip !== null && ipFamily(found.ip) === family
      ? found.ip
      : usable(facts.addresses, link.name, family)[0]?.ip) ?? null;
  const address = addressIn(4);
  const address6 = addressIn(6);
  if (!wish.families.some((family) => (family === 4 ? address : address6) !== null))
    return refused(
      `Interface ${link.name} has no ${named(wish.families)} address to use.`,
      `Give it one, or name another interface.`,
    );
  const host: HostFacts = { iface: link.name, index: link.index, address, address6, mtu: link.mtu };
  const publicIpv6 = wish.publicIpv6 ?? address6;
  return { ok: true, selection: { host, publicIp: wish.publicIp ?? address, publicIpv6 } };
}

/** The families of the network that the interface has no address of now. */
export function missingFamilies({ host }: Selection, families: readonly Family[]): readonly Family[] {
  return families.filter((family) => hostAddress(host, family) === null);
}

function named(families: readonly Family[]): string {
  return families.map((family) => `IPv${family}`).join(' or ');
}

const NAME_ONE = 'Name one that is there with --iface NAME or --iface ADDRESS.';

function find(wish: InterfaceWish, facts: InterfaceFacts): Hit | Refusal {
  const { iface, ifaceRegex, canReach, publicIp, publicIpv6 } = wish;
  if (iface.length === 0 && ifaceRegex.length === 0 && canReach === null)
    return publicIp === null && publicIpv6 === null ? byItself(wish, facts) : byPublicIps(wish, facts);
  for (const name of iface) {
    const hit = byName(name, facts);
    if (hit !== null) return hit;
  }
  const patterns: RegExp[] = [];
  for (const text of ifaceRegex) {
    const pattern = compile(text);
    if (pattern === null)
      return refuse(
        'bad-iface-regex',
        EXIT.usage,
        `--iface-regex "${text}" is not a pattern.`,
        'Correct it.',
      );
    patterns.push(pattern);
  }
  for (const pattern of patterns) {
    const hit = byPattern(pattern, facts);
    if (hit !== null) return hit;
  }
  return byAnswer(facts.wayToReach, facts) ?? notFound(wish, facts);
}

/** Without flags: where the cluster is, and the default route only where nothing says where that is. */
function byItself(wish: InterfaceWish, facts: InterfaceFacts): Hit | Refusal {
  if (wish.joins !== null) {
    // An address of this host itself is a mistake that the join finds out, not a missing interface.
    const hit = byAnswer(facts.wayToJoined, facts) ?? byOwnIp(wish.joins, facts);
    return hit ?? noInterface(`No route of this host leads to ${wish.joins}.`, NAME_ONE);
  }
  for (const peer of wish.peers) {
    const hit = byOwnIp(peer, facts);
    if (hit !== null) return hit;
  }
  // Of both families the first one decides: hosts are reached by what is on one interface.
  for (const family of wish.families) {
    const iface = facts.defaultIfaces[family];
    if (iface !== null) return { iface, ip: null };
  }
  return noInterface('This host has no default route, and no address of --peers is its own.', NAME_ONE);
}

function byPublicIps({ publicIp, publicIpv6 }: InterfaceWish, facts: InterfaceFacts): Hit | Refusal {
  const hits: Hit[] = [];
  for (const [option, ip] of [
    ['--public-ip', publicIp],
    ['--public-ipv6', publicIpv6],
  ] as const) {
    if (ip === null) continue;
    const hit = byOwnIp(ip, facts);
    if (hit === null) return noInterface(`No interface has the address ${ip} of ${option}.`, NAME_ONE);
    hits.push(hit);
  }
  const [first, second] = hits;
  if (first !== undefined && (second === undefined || second.iface === first.iface)) return first;
  return noInterface(
    `The addresses of --public-ip and --public-ipv6 are on two interfaces, ${hits.map(({ iface }) => iface).join(' and ')}.`,
    'Give addresses of one interface, or name it with --iface.',
  );
}

function byOwnIp(ip: Ip, { addresses }: InterfaceFacts): Hit | null {
  const holder = addresses.find((address) => address.ip === ip);
  return holder === undefined ? null : { iface: holder.iface, ip };
}

function byName(name: string, facts: InterfaceFacts): Hit | null {
  const ip = parseIp(name);
  if (ip !== undefined) return byOwnIp(ip, facts);
  return facts.links.some((link) => link.name === name) ? { iface: name, ip: null } : null;
}

/** Against every address of every interface first, then against the names: flannel's order. */
function byPattern(pattern: RegExp, { links, addresses }: InterfaceFacts): Hit | null {
  for (const link of links) {
    const address = [...usable(addresses, link.name, 4), ...usable(addresses, link.name, 6)].find(({ ip }) =>
      pattern.test(ip),
    );
    if (address !== undefined) return { iface: link.name, ip: address.ip };
  }
  const link = links.find(({ name }) => pattern.test(name));
  return link === undefined ? null : { iface: link.name, ip: null };
}

/** A way that is this host's own address says nothing about an interface but the one that holds it. */
function byAnswer(answer: RouteAnswer | null, { addresses }: InterfaceFacts): Hit | null {
  if (answer === null || answer.type !== 'unicast' || answer.iface === null) return null;
  const { iface, src } = answer;
  // The kernel likes to speak from an IPv6 address that it will give up again.
  const isLasting = src !== null && usable(addresses, iface, ipFamily(src)).some(({ ip }) => ip === src);
  return { iface, ip: isLasting || (src !== null && ipFamily(src) === 4) ? src : null };
}

/**
 * Best first: global before link-local, permanent before dynamic, lasting before temporary. An IPv6 address that only
 * one link understands, or that is given up again by itself, is never one to be reached by.
 */
function usable(addresses: readonly LinkAddress[], iface: string, family: Family): readonly LinkAddress[] {
  const rank = ({ scope, permanent, temporary }: LinkAddress): number =>
    (scope === 'global' ? 0 : 4) + (permanent ? 0 : 2) + (temporary ? 1 : 0);
  return addresses
    .filter(
      (address) =>
        address.iface === iface &&
        ipFamily(address.ip) === family &&
        (family === 4 || (address.scope === 'global' && !address.temporary)) &&
        !address.deprecated &&
        !address.tentative &&
        address.scope !== 'host',
    )
    .sort((a, b) => rank(a) - rank(b));
}

function compile(text: string): RegExp | null {
  try {
    return new RegExp(text);
  } catch {
    return null;
  }
}

function notFound(wish: InterfaceWish, { links, addresses }: InterfaceFacts): Refusal {
  const asked = [
    ...wish.iface.map((name) => `--iface ${name}`),
    ...wish.ifaceRegex.map((text) => `--iface-regex ${text}`),
    ...(wish.canReach === null ? [] : [`--iface-can-reach ${wish.canReach}`]),
  ];
  const candidates = links
    .filter(({ loopback }) => !loopback)
    .map(
      ({ name }) =>
        `${name} (${
          [...usable(addresses, name, 4), ...usable(addresses, name, 6)].map(({ ip }) => ip).join(', ') ||
          'no address'
        })`,
    );
  return noInterface(
    `No interface matches ${asked.join(' or ')}; there are ${candidates.join(', ') || 'none'}.`,
    NAME_ONE,
  );
}

function noInterface(text: string, fix: string): Refusal {
  return refuse('no-interface', EXIT.usage, text, fix);
}

function refused(text: string, fix: string): SelectionResult {
  return { ok: false, refusal: noInterface(text, fix) };
}
