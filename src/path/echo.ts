/**
 * ICMP and ICMPv6 echo messages as bytes. What comes back is anybody's packet until it is parsed: it may be short, cut,
 * of another type or of another's making. Pure.
 */
import type { Family } from '../net/ip.ts';

/** What a request carries and its answer repeats. */
export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
  /** Sixteen random bytes: who has not seen the request cannot answer it. */
  readonly nonce: Buffer;
  /** Of the whole IP packet. */
  readonly length: number;
}

export const NONCE_BYTES = 16;
const ICMP_BYTES = 8;
const IP_BYTES: Readonly<Record<Family, number>> = { 4: 20, 6: 40 };
const REQUEST: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
export const ECHO_REPLY: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };
/** Where in the ICMP message the identifier is. */
export const IDENTIFIER_OFFSET = 4;

export function shortestEcho(family: Family): number {
  return IP_BYTES[family] + ICMP_BYTES + NONCE_BYTES;
}

/** The ICMP message. The kernel puts the IP header before it, and the checksum of ICMPv6 into it. */
export function encodeRequest(family: Family, { identifier, sequence, nonce, length }: Echo): Buffer {
  const message = Buffer.alloc(Math.max(length, shortestEcho(family)) - IP_BYTES[family]);
  message[0] = REQUEST[family];
  message.writeUInt16BE(identifier, IDENTIFIER_OFFSET);
  message.writeUInt16BE(sequence, 6);
  nonce.copy(message, ICMP_BYTES, 0, NONCE_BYTES);
  if (family === 4) message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** What a raw socket received: with the IP header for IPv4, without for IPv6. Null for anything but an answer. */
export function decodeReply(family: Family, datagram: Buffer): Echo | null {
  const header = family === 4 ? 4 * ((datagram[0] ?? 0) & 0xf) : 0;
  const message = datagram.subarray(header);
  if (header > 0 && header < IP_BYTES[4]) return null;
  if (message.length < ICMP_BYTES + NONCE_BYTES || message[0] !== ECHO_REPLY[family] || message[1] !== 0)
    return null;
  return {
    identifier: message.readUInt16BE(IDENTIFIER_OFFSET),
    sequence: message.readUInt16BE(6),
    nonce: message.subarray(ICMP_BYTES, ICMP_BYTES + NONCE_BYTES),
    length: IP_BYTES[family] + message.length,
  };
}

/** Of RFC 1071. */
function checksum(message: Buffer): number {
  let sum = 0;
  for (let at = 0; at < message.length; at += 2) sum += ((message[at] ?? 0) << 8) + (message[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
