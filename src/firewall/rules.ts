/**
 * Our nftables table in one address family, as text in the spelling in which nft prints it back, so that wanted and
 * found can be compared. Pure. docs/firewall.md says what each chain is for. An accept of ours is not final: whatever
 * else drops a packet on this host, before or after, still drops it; a drop of ours is.
 */
import { type Cidr, cidrBase, cidrFamily } from '../net/cidr.ts';
import { compareIp, type Family, type Ip, ipFamily } from '../net/ip.ts';
import type { FirewallConfig, FirewallFamily } from './firewall.ts';

/** The nftables table, of family ip or ip6. All of it is ours. */
export const NFT_TABLE = 'tsflannel';

/** Before anything is done with a packet but putting its fragments together. */
const SOURCES_PRIORITY = 'raw - 10';
/** Behind others who set marks: what is ours is only a few bits. Before the route is chosen. */
const MARKS_PRIORITY = 'mangle + 10';
/** Before every filter chain that others are likely to have. */
const FILTER_PRIORITY = 'filter - 10';
/** Before Docker's masquerade, in iptables and in nftables: the first NAT rule that matches a connection decides. */
const NAT_PRIORITY = 'srcnat - 1';

/** What is in a TCP segment's packet beside the segment. */
const TCP_HEADERS_BYTES = { 4: 40, 6: 60 } as const;
const MULTICAST = { 4: '224.0.0.0/4', 6: 'ff00::/8' } as const;
const ADDRESS_TYPE = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;
const ECHO_REQUEST = { 4: 'icmp type echo-request', 6: 'icmpv6 type echo-request' } as const;
const NEIGHBOUR_DISCOVERY =
  'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept';

/** Bits of a packet's mark. */
export interface Mark {
  readonly value: number;
  readonly mask: number;
}

/** What of the table depends on this host. */
export interface Surroundings {
  /** Outsiders are kept from the lease. */
  readonly guardLease: boolean;
  /** We turned forwarding on, and the policy of iptables cannot guard it: what these bridges do not take part in is
   *  not forwarded. Null: nothing of the kind. */
  readonly forwardOnlyFor: readonly string[] | null;
  /** By which an engine tells what to accept from what to drop. */
  readonly acceptMark: Mark | null;
}

/** Names and words of one family. */
interface Words {
  readonly config: FirewallConfig;
  readonly family: FirewallFamily;
  readonly f: Family;
  /** `ip` or `ip6`. */
  readonly ip: string;
  readonly uplinks: readonly string[];
}

/** The whole table. */
export function nftRuleset(config: FirewallConfig, family: FirewallFamily, around: Surroundings): string {
  const f = cidrFamily(family.network);
  const words: Words = { config, family, f, ip: f === 4 ? 'ip' : 'ip6', uplinks: uplinks(config, family) };
  const blocks = [
    set('members', ADDRESS_TYPE[f], [], sortedMembers(family)),
    ...sourceSets(words),
    ...clampSets(words),
    ...sourceChains(words),
    ...marksChain(words, around.acceptMark),
    ...inputChain(words),
    ...clampChain(words),
    ...forwardChain(words, around),
    postroutingChain(words),
  ];
  return `table ${words.ip} ${NFT_TABLE} {\n${blocks.join('\n')}}\n`;
}

/** The interfaces that packets of other hosts may come by. */
export function uplinks(
  { iface, peers }: FirewallConfig,
  { network, vxlan }: FirewallFamily,
): readonly string[] {
  const f = cidrFamily(network);
  const ways = peers.filter(({ subnet }) => cidrFamily(subnet) === f).map((peer) => peer.iface);
  return [...new Set([iface, ...(vxlan === null ? [] : [vxlan.device]), ...ways])].sort();
}

export function sortedMembers({ memberIps, network }: FirewallFamily): readonly Ip[] {
  const family = cidrFamily(network);
  return [...new Set(memberIps)].filter((ip) => ipFamily(ip) === family).sort(compareIp);
}

/** From where packets of a peer's subnet may come: one lookup, however many peers there are. */
function sourceSets({ config, f }: Words): readonly string[] {
  const peers = config.peers.filter(({ subnet }) => cidrFamily(subnet) === f);
  const known = peers.flatMap(({ iface, mac, subnet }) =>
    mac === null ? [] : [`"${iface}" . ${mac} . ${subnet}`],
  );
  const any = peers.flatMap(({ iface, mac, subnet }) => (mac === null ? [`"${iface}" . ${subnet}`] : []));
  return [
    set('sources', `ifname . ether_addr . ${ADDRESS_TYPE[f]}`, ['interval'], sorted(known)),
    set('sources-of-any-mac', `ifname . ${ADDRESS_TYPE[f]}`, ['interval'], sorted(any)),
  ];
}

/** A bridge of this host is known by its route, an uplink by what its peers said. */
function sourceChains({ family, ip, f, uplinks }: Words): readonly string[] {
  return [
    baseChain('prerouting', 'filter', 'prerouting', SOURCES_PRIORITY, [
      ...(f === 6 ? [NEIGHBOUR_DISCOVERY] : []),
      `${ip} saddr ${family.network} jump sources`,
    ]),
    block('chain sources', [
      `iifname . ether saddr . ${ip} saddr @sources return`,
      `iifname . ${ip} saddr @sources-of-any-mac return`,
      `iifname ${anyOf(uplinks)} drop`,
      `iifname != "lo" fib saddr . iif oif missing drop`,
    ]),
  ];
}

/** Probes are marked by the way they came, so that the kernel's answer takes the same; what an engine wants to see
 *  marked is marked when members sent it. */
function marksChain(words: Words, acceptMark: Mark | null): readonly string[] {
  const { config, family, ip, f, uplinks } = words;
  const { network, subnet, base, vxlan } = family;
  const rules: string[] = [];
  if (config.probes !== null) {
    const { directMark, vxlanMark, mask } = config.probes;
    const probe = `${ip} saddr ${network} ${ip} daddr ${base} ${ECHO_REQUEST[f]}`;
    rules.push(`iifname "${config.iface}" ${probe} ${setMark({ value: directMark, mask })}`);
    if (vxlan !== null)
      rules.push(`iifname "${vxlan.device}" ${probe} ${setMark({ value: vxlanMark, mask })}`);
  }
  if (acceptMark !== null)
    for (const from of [network, '@members'])
      rules.push(
        `iifname ${anyOf(uplinks)} ${ip} saddr ${from} ${ip} daddr ${subnet} ${setMark(acceptMark)}`,
      );
  return rules.length === 0 ? [] : [baseChain('marks', 'filter', 'prerouting', MARKS_PRIORITY, rules)];
}

/** The VNI as well as the port: another vxlan network on this host may share the port, and has other members. */
function inputChain({ family: { vxlan }, ip }: Words): readonly string[] {
  if (vxlan === null) return [];
  const { vni, port } = vxlan;
  return [
    baseChain('input', 'filter', 'input', FILTER_PRIORITY, [
      `udp dport ${port} @th,96,24 0x${vni.toString(16)} ${ip} saddr != @members drop`,
    ]),
  ];
}

function clampsByMtu({ config, f }: Words): ReadonlyMap<number, readonly Cidr[]> {
  const byMtu = new Map<number, Cidr[]>();
  for (const { subnet, mtu } of config.clamps) {
    if (cidrFamily(subnet) !== f) continue;
    const subnets = byMtu.get(mtu) ?? [];
    byMtu.set(mtu, [...subnets, subnet]);
  }
  return new Map([...byMtu].sort(([a], [b]) => a - b));
}

function clampSets(words: Words): readonly string[] {
  return [...clampsByMtu(words)].map(([mtu, subnets]) =>
    set(`mtu-${mtu}`, ADDRESS_TYPE[words.f], ['interval'], sortedCidrs(subnets)),
  );
}

/** The kernel only ever makes the size smaller. Both handshake packets of a connection pass here, one each way. */
function clampChain(words: Words): readonly string[] {
  const rules = [...clampsByMtu(words).keys()].flatMap((mtu) =>
    ['daddr', 'saddr'].map(
      (side) =>
        `${words.ip} ${side} @mtu-${mtu} tcp flags syn / syn,rst tcp option maxseg size set ${mtu - TCP_HEADERS_BYTES[words.f]}`,
    ),
  );
  return rules.length === 0 ? [] : [baseChain('clamp', 'filter', 'forward', 'mangle', rules)];
}

/** Published ports are not addressed to the lease but to the host: their original destination is another. */
function forwardChain(
  { family, ip }: Words,
  { guardLease, forwardOnlyFor }: Surroundings,
): readonly string[] {
  const { network, subnet } = family;
  const rules: string[] = [];
  if (guardLease)
    rules.push(
      `ct state new ct original ${ip} daddr ${subnet} ${ip} saddr != ${network} ${ip} saddr != @members drop`,
    );
  if (forwardOnlyFor !== null)
    rules.push(
      forwardOnlyFor.length === 0
        ? `${ip} saddr != ${network} ${ip} daddr != ${network} drop`
        : `iifname != ${anyOf(forwardOnlyFor)} oifname != ${anyOf(forwardOnlyFor)} drop`,
    );
  return rules.length === 0 ? [] : [baseChain('forward', 'filter', 'forward', FILTER_PRIORITY, rules)];
}

function postroutingChain({ config, family, ip, f }: Words): string {
  const { network, subnet } = family;
  const random = config.randomFully ? ' fully-random' : '';
  const masquerade = [
    // A program of the host that is bound to another address of it. The routes give the others this source anyway.
    `fib saddr type local ${ip} saddr != ${network} ${ip} daddr ${network} ${ip} daddr != ${subnet} snat to ${cidrBase(subnet)}${random}`,
    `${ip} saddr ${network} ${ip} daddr != ${network} ${ip} daddr != ${MULTICAST[f]} masquerade${random}`,
  ];
  return baseChain('postrouting', 'nat', 'postrouting', NAT_PRIORITY, [
    // A container that reaches itself through a port it published needs Docker's masquerade.
    `${ip} saddr ${subnet} ${ip} daddr ${subnet} return`,
    // To itself: no change, but decided, so that nobody's masquerade after us matches this connection.
    `${ip} saddr ${network} ${ip} daddr ${network} snat ${ip} prefix to ${ip} saddr map { ${network} : ${network} }`,
    ...(config.ipMasq ? masquerade : []),
  ]);
}

function setMark({ value, mask }: Mark): string {
  // As nft prints it: bits that are set anyway need not be cleared before.
  const keep = (~mask | value) >>> 0;
  const kept = keep === 0xffff_ffff ? 'meta mark' : `meta mark & ${hex(keep)}`;
  return `meta mark set ${kept} | ${hex(value)}`;
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}

function anyOf(names: readonly string[]): string {
  const quoted = [...new Set(names)].sort(asNumbers).map((name) => `"${name}"`);
  return quoted.length === 1 ? quoted.join('') : `{ ${quoted.join(', ')} }`;
}

/** nft sorts names as the little-endian numbers that their bytes are. */
function asNumbers(a: string, b: string): number {
  const number = (name: string): Buffer => Buffer.from(name.padEnd(IFNAME_BYTES, '\0'), 'latin1').reverse();
  return Buffer.compare(number(a), number(b));
}

const IFNAME_BYTES = 16;

function sorted(items: readonly string[]): readonly string[] {
  return [...new Set(items)].sort();
}

function sortedCidrs(cidrs: readonly Cidr[]): readonly Cidr[] {
  return [...new Set(cidrs)].sort((a, b) => compareIp(cidrBase(a), cidrBase(b)));
}

/** nft prints an empty set without the line of elements. */
function set(name: string, type: string, flags: readonly string[], elements: readonly string[]): string {
  return block(`set ${name}`, [
    `type ${type}`,
    ...(flags.length === 0 ? [] : [`flags ${flags.join(', ')}`]),
    ...(elements.length === 0 ? [] : [`elements = { ${elements.join(', ')} }`]),
  ]);
}

function baseChain(
  name: string,
  type: string,
  hook: string,
  priority: string,
  rules: readonly string[],
): string {
  const head = `type ${type} hook ${hook} priority ${priority}; policy accept;`;
  return block(`chain ${name}`, [head, ...rules]);
}

function block(head: string, lines: readonly string[]): string {
  return `\t${head} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
}
