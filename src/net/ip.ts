/**
 * IPv4 and IPv6 addresses as canonical text (RFC 5952 for IPv6), so that equality is `===`, a Map key is the address
 * itself and JSON needs no conversion. Arithmetic goes over bigint. Pure; `as Ip` stands in this file only.
 */
import { isIPv4, isIPv6 } from 'node:net';
import type { Brand } from './brand.ts';

export type Ip = Brand<string, 'Ip'>;
export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];

/** Undefined for anything that is not exactly one address (no zone, no port, no leading zeros). */
export function parseIp(text: string): Ip | undefined {
  if (isIPv4(text)) return text as Ip;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return ipFromBigInt(6, parseIpv6(text));
}

/** For literals and for text that a parser of ours wrote. Throws on anything else. */
export function toIp(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(`not an IP address: ${text}`);
  return ip;
}

export function ipFamily(ip: Ip): Family {
  return ip.includes(':') ? 6 : 4;
}

export function ipBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

export function ipToBigInt(ip: Ip): bigint {
  return ipFamily(ip) === 4 ? BigInt(parseIpv4(ip)) : parseIpv6(ip);
}

/** Throws when the value does not fit the family. */
export function ipFromBigInt(family: Family, value: bigint): Ip {
  if (value < 0n || value >> BigInt(ipBits(family)) !== 0n)
    throw new RangeError(`address out of range: ${value}`);
  return (family === 4 ? formatIpv4(Number(value)) : formatIpv6(value)) as Ip;
}

/** The first `length` bits, the others zero. */
export function maskIp(ip: Ip, length: number): Ip {
  const family = ipFamily(ip);
  if (length === ipBits(family)) return ip;
  // Shifting 32 bits by 32 shifts them by 0.
  if (family === 4) return formatIpv4(length === 0 ? 0 : parseIpv4(ip) & (-1 << (32 - length))) as Ip;
  const hostBits = BigInt(128 - length);
  return ipFromBigInt(6, (ipToBigInt(ip) >> hostBits) << hostBits);
}

/** Network byte order, 4 or 16 bytes. */
export function ipToBytes(ip: Ip): Uint8Array {
  if (ipFamily(ip) === 4) {
    const v4 = parseIpv4(ip);
    return Uint8Array.of(v4 >>> 24, v4 >>> 16, v4 >>> 8, v4);
  }
  const bytes = new Uint8Array(16);
  let value = ipToBigInt(ip);
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

/** The address in the text of a Cidr, which only cidr.ts writes. */
export function ipOfCidr(text: string): Ip {
  return text.slice(0, text.indexOf('/')) as Ip;
}

/** Of an IPv4 address, between 0 and 2^32. */
export function ipv4Number(ip: Ip): number {
  return parseIpv4(ip);
}

/** Throws unless there are 4 or 16 bytes. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new RangeError(`not an address: ${bytes.length} bytes`);
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Ip;
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return ipFromBigInt(6, value);
}

export function ipAdd(ip: Ip, offset: number | bigint): Ip {
  return ipFromBigInt(ipFamily(ip), ipToBigInt(ip) + BigInt(offset));
}

/** IPv4 before IPv6, then by value. */
export function compareIp(a: Ip, b: Ip): number {
  const byFamily = ipFamily(a) - ipFamily(b);
  if (byFamily !== 0) return byFamily;
  const difference = ipToBigInt(a) - ipToBigInt(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The text has passed isIPv4. Ten thousand routes pass through here, so it makes no strings. */
function parseIpv4(text: string): number {
  let value = 0;
  let part = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      value = value * 256 + part;
      part = 0;
    } else part = part * 10 + code - ZERO;
  }
  return value * 256 + part;
}

const DOT = 46;
const ZERO = 48;

function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`;
}

/** The text has passed isIPv6. */
function parseIpv6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = new Array<number>(8 - left.length - right.length).fill(0);
  return [...left, ...zeros, ...right].reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

function groups(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const v4 = parseIpv4(group);
    return [v4 >>> 16, v4 & 0xffff];
  });
}

function formatIpv6(value: bigint): string {
  const parts = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  const run = longestZeroRun(parts);
  const hex = parts.map((part) => part.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

/** The first of the longest, as RFC 5952 section 4.2.3 asks. */
function longestZeroRun(parts: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < parts.length; start++) {
    let length = 0;
    while (parts[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
