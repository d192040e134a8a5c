/** CapEff of proc(5): a mask in hexadecimal, bit 12 is CAP_NET_ADMIN. */
import { describe, expect, it } from 'vitest';
import { hasCapability } from '../../../src/daemon/privileges.ts';

describe('capabilities of a process', () => {
  it('finds the bit in the effective set only', () => {
    expect(hasCapability('CapPrm:\t0000000000001000\nCapEff:\t0000000000003000\n', 12n)).toBe(true);
    expect(hasCapability('CapPrm:\t0000000000001000\nCapEff:\t0000000000002000\n', 12n)).toBe(false);
    expect(hasCapability('', 12n)).toBe(false);
  });
});
