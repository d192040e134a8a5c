import { describe, expect, test } from 'vitest';
import { parseTables } from '../../../src/firewall/chain-table.ts';
import type { DockerBridges } from '../../../src/firewall/docker-bridges.ts';
import { type EngineNeeds, engineNeeds } from '../../../src/firewall/engine-needs.ts';
import type { FirewallEngine } from '../../../src/firewall/firewall.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { firewallConfig, firewallFamily } from './config.ts';

const UNPROTECTED = { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' };
const BRIDGES: DockerBridges = {
  bridges: ['docker0'],
  acceptMark: null,
  dropsUnpublished: true,
  unprotected: false,
  dropsDirect: false,
};

function engine(more: Partial<FirewallEngine> = {}): FirewallEngine {
  return { version: '28.2.2', firewallBackend: 'iptables', networks: [], ...more };
}
const nftables = (options: Readonly<Record<string, string>> = {}): FirewallEngine =>
  engine({
    version: '29.7.2',
    firewallBackend: 'nftables',
    networks: [{ subnets: [toCidr('10.5.1.0/24')], options }],
  });

interface Case {
  readonly engine: FirewallEngine | null;
  readonly raw?: string;
  readonly filter?: string;
  readonly docker?: DockerBridges;
  readonly turnedOn?: boolean;
  readonly forwardRules?: boolean;
}

function needs({ engine, raw = '', filter = '', docker, turnedOn = false, ...more }: Case): EngineNeeds {
  const read = (rules: string): ReturnType<typeof parseTables> =>
    parseTables(`*x\n:PREROUTING ACCEPT\n:DOCKER -\n${rules}\nCOMMIT\n`);
  const table = (rules: string): NonNullable<ReturnType<ReturnType<typeof read>['get']>> =>
    read(rules).get('x') ?? new Map();
  const seen = { tables: { raw: table(raw), filter: table(filter) }, docker: docker ?? null };
  return engineNeeds(firewallConfig({ engine, ...more }), firewallFamily(), seen, turnedOn);
}

describe('the table raw', () => {
  const drop = (dst: string): string => `-A PREROUTING -d ${dst} ! -i docker0 -j DROP`;
  test.each([
    ['no engine and nothing there', { engine: null }, false],
    ['20.10', { engine: engine({ version: '20.10.24+dfsg1' }) }, false],
    ['27', { engine: engine({ version: '27.5.1' }) }, false],
    ['28.0', { engine: engine({ version: '28.0.0' }) }, true],
    ['29', { engine: engine({ version: '29.0.0-rc.1' }) }, true],
    ['no engine, but what it left', { engine: null, raw: drop('10.5.1.2/32') }, true],
    ['a drop of a whole subnet', { engine: null, raw: drop('10.5.0.0/16') }, true],
    ['a drop of other containers', { engine: null, raw: drop('172.17.0.2/32') }, false],
    ["a drop that is no engine's", { engine: null, raw: '-A PREROUTING -d 10.5.1.2/32 -j DROP' }, false],
    ['no accepts are wanted', { engine: engine(), forwardRules: false }, false],
    ['the nftables backend', { engine: nftables() }, false],
  ])('with %s', (_, given: Case, expected) => {
    expect(needs(given).raw).toBe(expected);
  });
});

describe('outsiders', () => {
  test.each([
    ['a host that forwarded before us', { engine: engine() }, false],
    ['one that forwards because of us', { engine: engine(), turnedOn: true }, true],
    ['the lease on a network that is nat-unprotected', { engine: nftables(UNPROTECTED) }, true],
    [
      'no engine, but iptables rules of such a network',
      { engine: null, filter: '-A DOCKER ! -i br1 -o br1 -j ACCEPT' },
      true,
    ],
    [
      'no engine, but nftables rules of one',
      { engine: null, docker: { ...BRIDGES, unprotected: true } },
      true,
    ],
  ])('%s', (_, given: Case, guarded) => {
    expect(needs(given).guardLease).toBe(guarded);
  });
});

describe('the nftables backend', () => {
  test('asks for its own mark, and for no policy in iptables', () => {
    const docker = { ...BRIDGES, acceptMark: { value: 2, mask: 3 } };
    expect(needs({ engine: nftables(), docker, turnedOn: true })).toMatchObject({
      acceptMark: { value: 2, mask: 3 },
      policy: 'ACCEPT',
      forwardOnlyFor: ['docker0'],
      problems: [],
    });
    expect(needs({ engine: engine(), turnedOn: true })).toMatchObject({
      policy: 'DROP',
      forwardOnlyFor: null,
    });
    expect(needs({ engine: nftables(), docker })).toMatchObject({ policy: null, forwardOnlyFor: null });
  });

  test('that was not told is a problem, which names what is missing', () => {
    const fixOf = (given: Case): string | undefined => needs(given).problems[0]?.fix;
    const closed = { engine: nftables(), docker: BRIDGES };
    expect(fixOf(closed)).toMatch(
      /^Set "bridge-accept-fwmark": "0x40000000\/0x40000000" and "allow-direct-routing"/,
    );
    const marked = { ...BRIDGES, acceptMark: { value: 2, mask: 3 }, dropsDirect: true };
    expect(fixOf({ ...closed, docker: marked })).toMatch(/^Set "allow-direct-routing": true in/);
    expect(fixOf({ engine: null, docker: marked })).toMatch(/^Set "allow-direct-routing": true in/);
    expect(fixOf({ engine: nftables(UNPROTECTED), docker: BRIDGES })).toBe(undefined);
    expect(fixOf({ ...closed, forwardRules: false })).toBe(undefined);
    expect(fixOf({ engine: { ...nftables(), networks: [] }, docker: BRIDGES })).toBe(undefined);
  });
});
