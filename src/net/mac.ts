/** Ethernet addresses as lower-case text with colons. Pure; `as Mac` stands in this file only. */
import type { Brand } from './brand.ts';
import { type Ip, ipFromBytes } from './ip.ts';

export type Mac = Brand<string, 'Mac'>;
export const MAC_BYTES = 6;

export function parseMac(text: string): Mac | undefined {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) ? (text.toLowerCase() as Mac) : undefined;
}

/** Throws unless there are 6 bytes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== MAC_BYTES) throw new RangeError(`not a MAC address: ${bytes.length} bytes`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

/** Unicast and locally administered, as the kernel's eth_random_addr makes them. */
export function localMac(seed: Uint8Array): Mac {
  const bytes = Uint8Array.from(seed.subarray(0, MAC_BYTES));
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return macFromBytes(bytes);
}

/** The address that IPv6 derives from a MAC for use on the link alone (RFC 4291, appendix A). */
export function linkLocalOf(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macToBytes(mac);
  return ipFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f));
}
