/** Ethernet addresses as lower-case text with colons. Pure; `as Mac` stands in this file only. */
import type { Brand } from './brand.ts';

export type Mac = Brand<string, 'Mac'>;

export function parseMac(text: string): Mac | undefined {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) ? (text.toLowerCase() as Mac) : undefined;
}

/** Throws unless there are 6 bytes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`not a MAC address: ${bytes.length} bytes`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

/** Unicast and locally administered, as the kernel's eth_random_addr makes them. */
export function localMac(seed: Uint8Array): Mac {
  const bytes = Uint8Array.from(seed.subarray(0, 6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return macFromBytes(bytes);
}
