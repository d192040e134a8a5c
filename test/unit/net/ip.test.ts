import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cidrContains, cidrCovers, cidrLast, cidrOf, parseCidr, toCidr } from '../../../src/net/cidr.ts';
import {
  type Family,
  type Ip,
  ipBits,
  ipFamily,
  ipFromBigInt,
  ipFromBytes,
  ipToBigInt,
  ipToBytes,
  maskIp,
  parseIp,
  toIp,
} from '../../../src/net/ip.ts';

const ipv4: fc.Arbitrary<Ip> = fc.ipV4().map(toIp);
const ipv6: fc.Arbitrary<Ip> = fc.ipV6().map(toIp);
const ip: fc.Arbitrary<Ip> = fc.oneof(ipv4, ipv6);

/** The slow and plain way: everything a big integer. */
function masked(address: Ip, length: number): Ip {
  const family = ipFamily(address);
  const host = BigInt(ipBits(family) - length);
  return ipFromBigInt(family, (ipToBigInt(address) >> host) << host);
}

describe('an address', () => {
  test('is the same after bytes, after a big integer, and after parsing', () => {
    fc.assert(
      fc.property(ip, (address) => {
        const family: Family = ipFamily(address);
        expect(ipFromBytes(ipToBytes(address))).toBe(address);
        expect(ipFromBigInt(family, ipToBigInt(address))).toBe(address);
        expect(parseIp(address)).toBe(address);
        expect(ipToBytes(address).length * 8).toBe(ipBits(family));
      }),
    );
  });

  test('of IPv6 is written as RFC 5952 has it, however it was written before', () => {
    const group = fc.oneof(fc.constant(0), fc.nat({ max: 0xffff }));
    const groups = fc.array(group, { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, fc.boolean(), fc.nat({ max: 4 }), (parts, upper, digits) => {
        const long = parts.map((part) => part.toString(16).padStart(digits, '0')).join(':');
        const text = upper ? long.toUpperCase() : long;
        // The URL standard serializes by the same rules, and Node's implementation is not ours.
        expect(`[${parseIp(text)}]`).toBe(new URL(`http://[${text}]/`).hostname);
      }),
      { numRuns: 1_000 },
    );
  });

  test('has its most significant byte first', () => {
    expect([...ipToBytes(toIp('200.1.2.255'))]).toEqual([200, 1, 2, 255]);
    expect(ipToBigInt(toIp('200.1.2.255'))).toBe(0xc80102ffn);
  });

  test('is masked as a big integer would be, at every length', () => {
    fc.assert(
      fc.property(ip, fc.nat({ max: 128 }), (address, any) => {
        const length = any % (ipBits(ipFamily(address)) + 1);
        expect(maskIp(address, length)).toBe(masked(address, length));
      }),
      { numRuns: 500 },
    );
    expect(maskIp(toIp('255.255.255.255'), 0)).toBe('0.0.0.0');
    expect(maskIp(toIp('255.255.255.255'), 1)).toBe('128.0.0.0');
  });

  test.each([
    ['10.5.1', undefined],
    ['010.5.1.0', undefined],
    ['10.5.1.256', undefined],
    ['fe80::1%eth0', undefined],
    ['2001:0db8:0:0:0::1', '2001:db8::1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ])('%s is %s', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });
});

describe('a network', () => {
  test('holds exactly the addresses with its prefix', () => {
    fc.assert(
      fc.property(ipv4, ipv4, fc.nat({ max: 32 }), (a, b, length) => {
        const network = cidrOf(a, length);
        expect(cidrContains(network, a)).toBe(true);
        expect(cidrContains(network, b)).toBe(masked(a, length) === masked(b, length));
        expect(parseCidr(`${a}/${length}`)).toBe(network);
      }),
    );
  });

  test('of IPv6 does so as well, and its last address is the last that does', () => {
    fc.assert(
      fc.property(ipv6, ipv6, fc.nat({ max: 128 }), (a, b, length) => {
        const network = cidrOf(a, length);
        expect(cidrContains(network, b)).toBe(masked(a, length) === masked(b, length));
        const last = ipToBigInt(cidrLast(network));
        expect(cidrContains(network, ipFromBigInt(6, last))).toBe(true);
        if (last < (1n << 128n) - 1n) expect(cidrContains(network, ipFromBigInt(6, last + 1n))).toBe(false);
        expect(parseCidr(`${a}/${length}`)).toBe(network);
      }),
    );
  });

  test('covers itself and what lies in it', () => {
    expect(cidrCovers(toCidr('10.5.0.0/16'), toCidr('10.5.0.0/16'))).toBe(true);
    expect(cidrCovers(toCidr('10.5.0.0/16'), toCidr('10.5.255.0/24'))).toBe(true);
    expect(cidrCovers(toCidr('10.5.0.0/16'), toCidr('10.0.0.0/8'))).toBe(false);
    expect(cidrCovers(toCidr('0.0.0.0/0'), toCidr('2001:db8::/32'))).toBe(false);
  });
});
