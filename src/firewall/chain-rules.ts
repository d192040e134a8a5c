/**
 * What our chains in iptables and ip6tables hold, in the spelling in which the tools print it back. Pure.
 * docs/firewall.md says what each rule is for.
 */
import { ipFamily } from '../net/ip.ts';
import type { FirewallConfig, FirewallFamily } from './firewall.ts';
import { sortedMembers, uplinks } from './rules.ts';

/** In the table filter. */
export const FORWARD_CHAIN = 'TSFLANNEL-FORWARD';
/** In the table raw. */
export const RAW_CHAIN = 'TSFLANNEL-RAW';

/**
 * What FORWARD_CHAIN holds. Member by member is walked by new connections only, and only where neither end is in the
 * network. Where no engine accepts them, the third rule lets the answers to them through, and the fourth what comes
 * back to our containers: the ICMP errors of a hop, which come from a member's address, too.
 */
export function forwardChainRules(family: FirewallFamily): readonly string[] {
  const { network, subnet } = family;
  return [
    `-s ${network} -d ${subnet} -j ACCEPT`,
    `-s ${subnet} -d ${network} -j ACCEPT`,
    `-m conntrack --ctstate RELATED,ESTABLISHED --ctorigdst ${subnet} -j ACCEPT`,
    `-d ${subnet} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    '-m conntrack ! --ctstate NEW -j RETURN',
    ...members(family).map((member) => `-s ${member} -d ${subnet} -j ACCEPT`),
  ].map((rule) => `-A ${FORWARD_CHAIN} ${rule}`);
}

/** What RAW_CHAIN holds: what Docker since 28 drops before it is asked for anything else. */
export function rawChainRules(config: FirewallConfig, family: FirewallFamily): readonly string[] {
  const { network, subnet } = family;
  const sources = [network, ...members(family)];
  return [
    `! -d ${subnet} -j RETURN`,
    ...sources.flatMap((source) =>
      uplinks(config, family).map((iface) => `-s ${source} -d ${subnet} -i ${iface} -j ACCEPT`),
    ),
  ].map((rule) => `-A ${RAW_CHAIN} ${rule}`);
}

function members(family: FirewallFamily): readonly string[] {
  return sortedMembers(family).map((ip) => `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`);
}
