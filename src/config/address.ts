/** What users write for addresses and durations: `IP`, `IP:PORT`, `[IPv6]:PORT`, lists of them, `10s`, `1h30m`. Pure. */
import { type Ip, ipFamily, parseIp } from '../net/ip.ts';
import { PORT_MAX } from './limits.ts';

export interface Address {
  readonly ip: Ip;
  /** Null where none was written: the default port. */
  readonly port: number | null;
}

/** Undefined for anything else; an IPv6 address takes a port only in brackets. */
export function parseAddress(text: string): Address | undefined {
  const bare = parseIp(text);
  if (bare !== undefined) return { ip: bare, port: null };
  const match = /^(?:\[([^\]]{1,64})\]|([^:[\]]{1,64}))(?::(\d{1,5}))?$/.exec(text);
  const ip = parseIp(match?.[1] ?? match?.[2] ?? '');
  if (match === null || ip === undefined) return undefined;
  if ((ipFamily(ip) === 6) !== (match[1] !== undefined)) return undefined;
  if (match[3] === undefined) return { ip, port: null };
  const port = parsePort(match[3]);
  return port === undefined ? undefined : { ip, port };
}

/** Comma list, spaces around items allowed. Undefined when one item is bad or nothing is there. */
export function parseAddressList(text: string): readonly Address[] | undefined {
  const addresses: Address[] = [];
  for (const item of text.split(',')) {
    const address = parseAddress(item.trim());
    if (address === undefined) return undefined;
    addresses.push(address);
  }
  return addresses;
}

/** `IP:PORT` or `[IPv6]:PORT`. */
export function formatAddress(ip: Ip, port: number): string {
  return ipFamily(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** 1 to 65535, decimal, no leading zero. */
export function parsePort(text: string): number | undefined {
  const port = parseInteger(text);
  return port === undefined || port < 1 || port > PORT_MAX ? undefined : port;
}

/** A decimal number without sign or leading zeros, as users write them. */
export function parseInteger(text: string): number | undefined {
  return /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of Go's notation: `10s`, `1h30m`, `1.5h`, `500ms`. A bare number only where it is 0. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d{1,9}(\.\d{1,9})?(ms|s|m|h)){1,8}$/.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|s|m|h)/g))
    ms += Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  const rounded = Math.round(ms);
  return Number.isSafeInteger(rounded) ? rounded : undefined;
}
