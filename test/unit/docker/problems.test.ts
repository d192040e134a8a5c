import { describe, expect, test } from 'vitest';
import type { EngineFacts, EngineNetwork } from '../../../src/docker/engine.ts';
import { engineProblems } from '../../../src/docker/problems.ts';
import { toCidr } from '../../../src/net/cidr.ts';

const WANTED = { networks: [toCidr('10.5.0.0/16')], leases: [toCidr('10.5.42.0/24')] };

function network(name: string, subnet: string, containers: readonly string[] = []): EngineNetwork {
  const device = name === 'bridge' ? 'docker0' : `br-${name}`;
  const driver = name === 'host' ? 'host' : 'bridge';
  return {
    ...{ id: `id-of-${name}`, name, driver, device, subnets: subnet === '' ? [] : [toCidr(subnet)] },
    ...{ ipv6: false, options: {}, labels: {}, containers },
  };
}

function engine(networks: readonly EngineNetwork[], more: Partial<EngineFacts> = {}): EngineFacts {
  const known = { version: '29.1.0', apiVersion: '1.49', firewallBackend: 'iptables' } as const;
  return { ...known, addressPools: null, networks, ...more };
}

const problems = (facts: EngineFacts, wanted = WANTED) =>
  engineProblems(facts, wanted).map(({ code, severity, text }) => ({ code, severity, text }));

describe('containers', () => {
  test('on the lease, on the host, or nowhere are no problem', () => {
    const networks = [
      network('bridge', '10.5.42.0/24', ['a']),
      network('host', '', ['b']),
      network('x', '172.19.0.0/16'),
    ];
    expect(problems(engine(networks))).toEqual([]);
    expect(
      problems(engine([network('tsflannel', '10.5.42.0/24', ['a']), network('bridge', '172.17.0.0/16')])),
    ).toEqual([]);
    expect(problems(engine([network('half', '10.5.42.128/25', ['a'])]))).toEqual([]);
  });

  test('on networks of docker compose are counted once, with their networks', () => {
    const networks = [
      network('shop_back', '172.18.0.0/16', ['db', 'web']),
      network('shop_front', '172.19.0.0/16', ['web']),
    ];
    expect(problems(engine(networks))).toEqual([
      {
        code: 'containers-outside-lease',
        severity: 'warning',
        text: "2 containers run on Docker networks of their own (shop_back, shop_front), not in this host's subnet 10.5.42.0/24, so other hosts do not reach them: db, web.",
      },
    ]);
  });

  test('that are on the lease as well are inside', () => {
    const networks = [
      network('private', '172.18.0.0/16', ['db', 'web']),
      network('tsflannel', '10.5.42.0/24', ['web']),
    ];
    expect(problems(engine(networks))).toMatchObject([
      { text: expect.stringMatching(/^1 container runs .*: db\.$/) },
    ]);
  });

  test('on docker0 where it is not on the lease, a few of them by name', () => {
    const many = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    expect(problems(engine([network('bridge', '172.17.0.0/16', many)]))).toEqual([
      {
        code: 'docker0-outside-lease',
        severity: 'warning',
        text: "7 containers run on docker0 (172.17.0.0/16), not in this host's subnet 10.5.42.0/24, so other hosts do not reach them: a, b, c, d, e and 2 more.",
      },
    ]);
  });
});

describe('subnets', () => {
  test('inside the container network that are not the lease cover other hosts', () => {
    expect(problems(engine([network('x', '10.5.7.0/24')]))).toMatchObject([
      { code: 'docker-network-overlap' },
    ]);
    expect(problems(engine([network('bridge', '10.0.0.0/8')]))).toMatchObject([
      { code: 'docker-network-overlap' },
    ]);
  });

  test('that Docker would choose in it are named, whether configured or built in', () => {
    expect(problems(engine([], { addressPools: [toCidr('10.4.0.0/15')] }))).toMatchObject([
      { code: 'docker-pool-overlap', text: expect.stringContaining('10.4.0.0/15') },
    ]);
    const inside = { networks: [toCidr('172.22.0.0/16')], leases: [toCidr('172.22.1.0/24')] };
    expect(problems(engine([]), inside)).toMatchObject([{ text: expect.stringContaining('172.20.0.0/14') }]);
    expect(problems(engine([], { addressPools: [toCidr('10.200.0.0/16')] }), inside)).toEqual([]);
  });
});

test.each([
  ['19.03.15', 1],
  ['1.12.6', 1],
  ['20.10.24+dfsg1', 0],
  ['29.0.0', 0],
  ['dev', 0],
])('an engine of version %s: %i problems', (version, count) => {
  expect(problems(engine([], { version }))).toHaveLength(count);
});
