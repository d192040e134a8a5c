import { describe, expect, test } from 'vitest';
import { parseDockerBridges } from '../../../src/firewall/docker-bridges.ts';
import { toCidr } from '../../../src/net/cidr.ts';

const LEASE = toCidr('10.5.1.0/24');

/** As nft prints it, counters and all. */
function table(
  parts: { readonly raw?: string; readonly mark?: string; readonly last?: string } = {},
): string {
  const { raw = '', mark = '', last = 'drop comment "UNPUBLISHED PORT DROP"' } = parts;
  return `table ip docker-bridges {
\tmap filter-forward-in-jumps {
\t\ttype ifname : verdict
\t\telements = { "docker0" : jump filter-forward-in__docker0 }
\t}

\tchain raw-PREROUTING {
\t\ttype filter hook prerouting priority raw; policy accept;
\t\t${raw}
\t}

\tchain filter-forward-in__docker0 {
\t\tct state established,related counter packets 3 bytes 180 accept
\t\t${mark}
\t\tiifname "docker0" counter packets 0 bytes 0 accept comment "ICC"
\t\tcounter packets 7 bytes 420 ${last}
\t}
}
`;
}

describe("what Docker's nftables backend holds", () => {
  test('an engine that was told nothing', () => {
    expect(parseDockerBridges(table(), LEASE)).toEqual({
      bridges: ['docker0'],
      acceptMark: null,
      dropsUnpublished: true,
      unprotected: false,
      dropsDirect: false,
    });
  });

  test.each([
    ['meta mark & 0x40000000 == 0x40000000', { value: 0x40000000, mask: 0x40000000 }],
    ['meta mark & 0x00000003 == 0x00000002', { value: 2, mask: 3 }],
    ['meta mark 0x00001068', { value: 0x1068, mask: 0xffffffff }],
  ])('%s', (match, acceptMark) => {
    const mark = `${match} counter packets 0 bytes 0 accept comment "ALLOW FW MARK"`;
    expect(parseDockerBridges(table({ mark }), LEASE)?.acceptMark).toEqual(acceptMark);
  });

  test.each([
    [
      'ip daddr 10.5.1.2 iifname != "docker0" counter packets 0 bytes 0 drop comment "DROP DIRECT ACCESS"',
      true,
    ],
    ['ip daddr 10.5.1.0/24 iifname != { "docker0", "lo" } counter packets 0 bytes 0 drop', true],
    ['ip daddr 172.17.0.2 iifname != "docker0" counter packets 0 bytes 0 drop', false],
    ['ip daddr 10.5.1.2 iifname != "docker0" counter packets 0 bytes 0 accept', false],
  ])('%s drops for the lease: %s', (raw, drops) => {
    expect(parseDockerBridges(table({ raw }), LEASE)?.dropsDirect).toBe(drops);
  });

  test('a network that is nat-unprotected', () => {
    const facts = parseDockerBridges(table({ last: 'accept comment "UNPROTECTED"' }), LEASE);
    expect(facts).toMatchObject({ dropsUnpublished: false, unprotected: true });
  });

  test('nothing at all, and something else', () => {
    expect(parseDockerBridges('', LEASE)).toBe(null);
    expect(parseDockerBridges('chain filter-forward-in__"; drop {\nx\n}\n', LEASE)?.bridges ?? []).toEqual(
      [],
    );
  });
});
