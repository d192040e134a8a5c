/**
 * Networks by their first 32 bits: all that is needed to say quickly, in a packet filter or for one of half a million
 * routes, that two of them do not overlap. Of IPv6 it may say "perhaps" too often and never too seldom. Pure.
 */
import { readU16 } from 'netlink/dist/structs.js';
import { type Cidr, cidrBase, cidrFamily, cidrLength } from '../net/cidr.ts';
import { type Family, ipToBytes } from '../net/ip.ts';
import { RTA } from './constants.ts';

export interface Span {
  readonly family: Family;
  readonly word: number;
  /** At most 32. */
  readonly length: number;
}

export function spanOf(network: Cidr): Span {
  const word = Buffer.from(ipToBytes(cidrBase(network))).readUInt32BE(0);
  return { family: cidrFamily(network), word, length: Math.min(32, cidrLength(network)) };
}

/** Whether a route message, without its header, may be about a destination that overlaps this. */
export function mayOverlap(span: Span, route: Buffer): boolean {
  const length = Math.min(span.length, route[1] ?? 0);
  const at = length === 0 ? -1 : destination(route);
  return at < 0 || (route.readUInt32BE(at) ^ span.word) >>> (32 - length) === 0;
}

/** Where it lies; -1 where there is none. */
function destination(route: Buffer): number {
  for (let at = ROUTE_BYTES; at + 8 <= route.length; ) {
    if (readU16.call(route, at + 2) === RTA.dst) return at + 4;
    at += Math.max(4, (readU16.call(route, at) + 3) & ~3);
  }
  return -1;
}

const ROUTE_BYTES = 12;

/** At most `count` spans that cover all of these: the longest give way. */
export function fewer(spans: readonly Span[], count: number): readonly Span[] {
  let found = unique(spans);
  for (let longest = 31; found.length > count && longest >= 0; longest--)
    found = unique(found.map((span) => shorten(span, longest)));
  return found;
}

function shorten({ family, word, length }: Span, most: number): Span {
  if (length <= most) return { family, word, length };
  // Shifting 32 bits by 32 shifts them by 0.
  return { family, word: most === 0 ? 0 : (word & (-1 << (32 - most))) >>> 0, length: most };
}

function unique(spans: readonly Span[]): readonly Span[] {
  return [
    ...new Map(spans.map((span) => [`${span.family} ${span.word}/${span.length}`, span] as const)).values(),
  ];
}
