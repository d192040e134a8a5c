/** Networks as canonical text `<base>/<length>`, host bits always zero. Pure; `as Cidr` stands in this file only. */
import type { Brand } from './brand.ts';
import {
  type Family,
  type Ip,
  ipBits,
  ipFamily,
  ipFromBigInt,
  ipOfCidr,
  ipToBigInt,
  maskIp,
  parseIp,
} from './ip.ts';

export type Cidr = Brand<string, 'Cidr'>;

/** Masks host bits as Go's net.ParseCIDR does: `10.3.7.9/16` is `10.3.0.0/16`. Undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([0-9a-fA-F:.]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  const length = Number(match?.[2]);
  if (ip === undefined || length > ipBits(ipFamily(ip))) return undefined;
  return cidrOf(ip, length);
}

/** For literals and for text that a parser of ours wrote. Throws on anything else. */
export function toCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new TypeError(`not a CIDR: ${text}`);
  return cidr;
}

/** The network of `length` bits that contains `ip`. */
export function cidrOf(ip: Ip, length: number): Cidr {
  return `${maskIp(ip, length)}/${length}` as Cidr;
}

export function cidrBase(cidr: Cidr): Ip {
  return ipOfCidr(cidr);
}

export function cidrLength(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

export function cidrFamily(cidr: Cidr): Family {
  return cidr.includes(':') ? 6 : 4;
}

/** Number of addresses. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(ipBits(cidrFamily(cidr)) - cidrLength(cidr));
}

export function cidrLast(cidr: Cidr): Ip {
  return ipFromBigInt(cidrFamily(cidr), ipToBigInt(cidrBase(cidr)) + cidrSize(cidr) - 1n);
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  return ipFamily(ip) === cidrFamily(cidr) && cidrOf(ip, cidrLength(cidr)) === cidr;
}

/** True when `inner` lies within `outer` (equal counts). */
export function cidrCovers(outer: Cidr, inner: Cidr): boolean {
  return cidrLength(outer) <= cidrLength(inner) && cidrContains(outer, cidrBase(inner));
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return cidrCovers(a, b) || cidrCovers(b, a);
}

/** A single host as a network: /32 or /128. */
export function hostCidr(ip: Ip): Cidr {
  return cidrOf(ip, ipBits(ipFamily(ip)));
}
