/**
 * What Docker's nftables backend (29 and later) holds in its table `docker-bridges`, as far as it decides about packets
 * for the lease. There an accept of ours counts for nothing; Docker lets through what carries a mark that it was told
 * of, and nothing helps against its drop in raw-PREROUTING but an engine that was told not to make it. Pure; the text
 * is nft's, and what cannot be read is taken as not being there.
 */
import { type Cidr, cidrsOverlap, hostCidr, parseCidr } from '../net/cidr.ts';
import { parseIp } from '../net/ip.ts';
import type { Mark } from './rules.ts';

export const DOCKER_TABLE = 'docker-bridges';

export interface DockerBridges {
  /** The bridges that Docker has rules for. */
  readonly bridges: readonly string[];
  /** `bridge-accept-fwmark`, when the engine has it. */
  readonly acceptMark: Mark | null;
  /** Some bridge takes nothing but what was published. */
  readonly dropsUnpublished: boolean;
  /** Some bridge takes everything: a network with the gateway mode nat-unprotected. */
  readonly unprotected: boolean;
  /** What is addressed to the lease or a part of it and does not come from its bridge is dropped. */
  readonly dropsDirect: boolean;
}

export function parseDockerBridges(text: string, lease: Cidr): DockerBridges | null {
  const chains = parseChains(text);
  if (chains.size === 0) return null;
  const inbound = [...chains].filter(([name]) => name.startsWith(IN_CHAIN));
  const rules = inbound.flatMap(([, lines]) => lines);
  const last = inbound.map(([, lines]) => lines.at(-1) ?? '');
  return {
    bridges: inbound.map(([name]) => name.slice(IN_CHAIN.length)).filter((name) => IFACE.test(name)),
    acceptMark: rules.map(parseAcceptMark).find((mark) => mark !== null) ?? null,
    dropsUnpublished: last.some((rule) => /^(counter (packets \d+ bytes \d+ )?)?drop\b/.test(rule)),
    unprotected: last.some((rule) => /comment "UNPROTECTED"$/.test(rule)),
    dropsDirect: (chains.get('raw-PREROUTING') ?? []).some((rule) => dropsFor(rule, lease)),
  };
}

const IN_CHAIN = 'filter-forward-in__';
const IFACE = /^[^\s"/]{1,15}$/;

function parseChains(text: string): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, string[]>();
  let rules: string[] | null = null;
  for (const line of text.split('\n').map((indented) => indented.trim())) {
    const [, name] = /^chain (\S+) \{$/.exec(line) ?? [];
    if (name !== undefined) {
      rules = [];
      chains.set(name, rules);
    } else if (line === '}') rules = null;
    else if (line !== '') rules?.push(line);
  }
  return chains;
}

function parseAcceptMark(rule: string): Mark | null {
  const [, masked, value] =
    /^meta mark (?:& (0x[0-9a-f]{8}) == )?(0x[0-9a-f]{8}) .*\baccept\b/.exec(rule) ?? [];
  if (value === undefined) return null;
  return { value: Number(value), mask: masked === undefined ? 0xffff_ffff : Number(masked) };
}

function dropsFor(rule: string, lease: Cidr): boolean {
  const [, text = ''] = /^ip6? daddr (\S+) iifname != .*\bdrop\b/.exec(rule) ?? [];
  const ip = parseIp(text);
  const dst = ip === undefined ? parseCidr(text) : hostCidr(ip);
  return dst !== undefined && cidrsOverlap(dst, lease);
}
