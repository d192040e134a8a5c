/**
 * Which interface and address of this host carry the traffic between hosts: flannel's rules for its flags, and a
 * better one where no flag is given (flannel's picks the NAT interface of every two-NIC virtual machine). Pure: links,
 * addresses and route lookups come in as facts. Never guesses: what cannot be found is a refusal that says why.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Ip, ipFamily, parseIp } from '../net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../net/link.ts';

/** The interface the data plane uses, at one moment: index, address and MTU change under a running agent. */
export interface HostFacts {
  readonly iface: string;
  readonly index: number;
  readonly address: Ip;
  readonly mtu: number;
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
  /** The address that is joined, else null. */
  readonly joins: Ip | null;
  /** The addresses of `--peers`; one of them may be ours. */
  readonly peers: readonly Ip[];
}

export interface InterfaceFacts {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  /** The way to `canReach`; null where there is none. */
  readonly wayToReach: RouteAnswer | null;
  /** The way to the address that is joined. */
  readonly wayToJoined: RouteAnswer | null;
  /** The interface of the main table's best default route. */
  readonly defaultIface: string | null;
}

export interface Selection {
  readonly host: HostFacts;
  readonly publicIp: Ip;
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
  const address = found.ip ?? usable(facts.addresses, link.name)[0]?.ip;
  if (address === undefined)
    return refused(
      `Interface ${link.name} has no IPv4 address to use.`,
      `Give it one, or name another interface.`,
    );
  const host: HostFacts = { iface: link.name, index: link.index, address, mtu: link.mtu };
  return { ok: true, selection: { host, publicIp: wish.publicIp ?? address } };
}

const NAME_ONE = 'Name one that is there with --iface NAME or --iface ADDRESS.';

function find(wish: InterfaceWish, facts: InterfaceFacts): Hit | Refusal {
  const { iface, ifaceRegex, canReach, publicIp } = wish;
  if (iface.length === 0 && ifaceRegex.length === 0 && canReach === null)
    return publicIp === null ? byItself(wish, facts) : byPublicIp(publicIp, facts);
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
  return byAnswer(facts.wayToReach) ?? notFound(wish, facts);
}

/** Without flags: where the cluster is, and the default route only where nothing says where that is. */
function byItself(wish: InterfaceWish, facts: InterfaceFacts): Hit | Refusal {
  if (wish.joins !== null) {
    // An address of this host itself is a mistake that the join finds out, not a missing interface.
    const hit = byAnswer(facts.wayToJoined) ?? byOwnIp(wish.joins, facts);
    return hit ?? noInterface(`No route of this host leads to ${wish.joins}.`, NAME_ONE);
  }
  for (const peer of wish.peers) {
    const hit = byOwnIp(peer, facts);
    if (hit !== null) return hit;
  }
  if (facts.defaultIface !== null) return { iface: facts.defaultIface, ip: null };
  return noInterface('This host has no default route, and no address of --peers is its own.', NAME_ONE);
}

function byPublicIp(publicIp: Ip, facts: InterfaceFacts): Hit | Refusal {
  const hit = byOwnIp(publicIp, facts);
  return hit ?? noInterface(`No interface has the address ${publicIp} of --public-ip.`, NAME_ONE);
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
    const address = usable(addresses, link.name).find(({ ip }) => pattern.test(ip));
    if (address !== undefined) return { iface: link.name, ip: address.ip };
  }
  const link = links.find(({ name }) => pattern.test(name));
  return link === undefined ? null : { iface: link.name, ip: null };
}

/** A way that is this host's own address says nothing about an interface but the one that holds it. */
function byAnswer(answer: RouteAnswer | null): Hit | null {
  if (answer === null || answer.type !== 'unicast' || answer.iface === null) return null;
  return { iface: answer.iface, ip: answer.src };
}

/** IPv4, best first: global before link-local, permanent before dynamic, lasting before temporary. */
function usable(addresses: readonly LinkAddress[], iface: string): readonly LinkAddress[] {
  const rank = ({ scope, permanent, temporary }: LinkAddress): number =>
    (scope === 'global' ? 0 : 4) + (permanent ? 0 : 2) + (temporary ? 1 : 0);
  return addresses
    .filter(
      (address) =>
        address.iface === iface &&
        ipFamily(address.ip) === 4 &&
        !address.deprecated &&
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
          usable(addresses, name)
            .map(({ ip }) => ip)
            .join(', ') || 'no address'
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
