/**
 * The rules we want, as text in the spelling in which the tools print them back, so that wanted and found can be
 * compared. Pure. docs/firewall.md says what each is for. An accept of ours is not final: whatever else drops a
 * packet on this host, before or after, still drops it.
 */
import { cidrBase, cidrFamily } from '../net/cidr.ts';
import { compareIp, type Ip, ipFamily } from '../net/ip.ts';
import type { FirewallConfig, FirewallFamily } from './firewall.ts';

/** The nftables table, of family ip. All of it is ours. */
export const NFT_TABLE = 'tsflannel';
/** The chain in iptables' filter table. */
export const FORWARD_CHAIN = 'TSFLANNEL-FORWARD';

/** Before every filter chain that others are likely to have. */
const FILTER_PRIORITY = 'filter - 10';
/** Before Docker's masquerade, in iptables and in nftables: the first NAT rule that matches a connection decides. */
const NAT_PRIORITY = 'srcnat - 1';

/** The whole table. `guard`: we turned forwarding on, so we keep outsiders from the lease. */
export function nftRuleset(config: FirewallConfig, family: FirewallFamily, guard: boolean): string {
  const chains = [
    memberSet(family),
    ...(family.vxlan === null ? [] : [inputChain(family.vxlan)]),
    ...(guard ? [forwardChain(family)] : []),
    postroutingChain(config, family),
  ];
  return `table ip ${NFT_TABLE} {\n${chains.join('\n')}}\n`;
}

function memberSet(family: FirewallFamily): string {
  const members = sortedMembers(family);
  // nft prints an empty set without the line.
  const elements = members.length === 0 ? [] : [`elements = { ${members.join(', ')} }`];
  return block('set members', ['type ipv4_addr', ...elements]);
}

/** The VNI as well as the port: another vxlan network on this host may share the port, and has other members. */
function inputChain({ vni, port }: { readonly vni: number; readonly port: number }): string {
  return baseChain('input', 'filter', 'input', FILTER_PRIORITY, [
    `udp dport ${port} @th,96,24 0x${vni.toString(16)} ip saddr != @members drop`,
  ]);
}

/** Published ports are not addressed to the lease but to the host: their original destination is another. */
function forwardChain({ network, subnet }: FirewallFamily): string {
  return baseChain('forward', 'filter', 'forward', FILTER_PRIORITY, [
    `ct state new ct original ip daddr ${subnet} ip saddr != ${network} ip saddr != @members drop`,
  ]);
}

function postroutingChain(
  { ipMasq, randomFully }: FirewallConfig,
  { network, subnet }: FirewallFamily,
): string {
  const random = randomFully ? ' fully-random' : '';
  const masquerade = [
    // A program of the host that is bound to another address of it. The routes give the others this source anyway.
    `fib saddr type local ip saddr != ${network} ip daddr ${network} ip daddr != ${subnet} snat to ${cidrBase(subnet)}${random}`,
    `ip saddr ${network} ip daddr != ${network} ip daddr != 224.0.0.0/4 masquerade${random}`,
  ];
  return baseChain('postrouting', 'nat', 'postrouting', NAT_PRIORITY, [
    // A container that reaches itself through a port it published needs Docker's masquerade.
    `ip saddr ${subnet} ip daddr ${subnet} return`,
    // To itself: no change, but decided, so that nobody's masquerade after us matches this connection.
    `ip saddr ${network} ip daddr ${network} snat ip prefix to ip saddr map { ${network} : ${network} }`,
    ...(ipMasq ? masquerade : []),
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

/**
 * What FORWARD_CHAIN holds. Member by member is walked by new connections only, and only where neither end is in the
 * network. Where no engine accepts them, the third rule lets the answers to them through, and the fourth what comes back to
 * our containers: the ICMP errors of a hop, which come from a member's address, too.
 */
export function forwardChainRules(family: FirewallFamily): readonly string[] {
  const { network, subnet } = family;
  return [
    `-s ${network} -d ${subnet} -j ACCEPT`,
    `-s ${subnet} -d ${network} -j ACCEPT`,
    `-m conntrack --ctstate RELATED,ESTABLISHED --ctorigdst ${subnet} -j ACCEPT`,
    `-d ${subnet} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    '-m conntrack ! --ctstate NEW -j RETURN',
    ...sortedMembers(family).map((ip) => `-s ${ip}/32 -d ${subnet} -j ACCEPT`),
  ].map((rule) => `-A ${FORWARD_CHAIN} ${rule}`);
}

function sortedMembers({ memberIps, network }: FirewallFamily): readonly Ip[] {
  const family = cidrFamily(network);
  return [...new Set(memberIps)].filter((ip) => ipFamily(ip) === family).sort(compareIp);
}
