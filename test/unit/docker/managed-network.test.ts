import { describe, expect, test } from 'vitest';
import type { EngineNetwork } from '../../../src/docker/engine.ts';
import { type NetworkWish, planNetwork } from '../../../src/docker/managed-network.ts';
import { toCidr } from '../../../src/net/cidr.ts';

const WISH: NetworkWish = { subnets: [toCidr('10.5.42.0/24')], mtu: 1450, masquerade: false };
const OLD = 41;
const NEW = 49;

function network(name: string, subnets: readonly string[], more: Partial<EngineNetwork> = {}): EngineNetwork {
  const [id, driver, device] = [`id-of-${name}`, 'bridge', `br-${name}`];
  const nothing = { ipv6: false, options: {}, labels: {}, containers: [] };
  return { id, name, driver, device, subnets: subnets.map(toCidr), ...nothing, ...more };
}

interface Creation {
  readonly Options: Record<string, string>;
  readonly Labels: Record<string, string>;
}

function creation(apiMinor: number, wish = WISH): Creation {
  const plan = planNetwork([], apiMinor, wish);
  if (plan.kind !== 'create') throw new Error(plan.kind);
  return plan.request as Creation;
}

/** As an engine shows the network that was asked for. */
function made(apiMinor: number, wish = WISH): EngineNetwork {
  const { Options: options, Labels: labels } = creation(apiMinor, wish);
  return network('tsflannel', wish.subnets, { options: { ...options, more: 'of its own' }, labels });
}

const refusal = (networks: readonly EngineNetwork[], wish = WISH) => {
  const plan = planNetwork(networks, OLD, wish);
  return plan.kind === 'refuse' ? plan.refusal : plan.kind;
};

describe('the network', () => {
  test('is Docker’s bridge on the lease', () => {
    expect(creation(OLD)).toEqual({
      Name: 'tsflannel',
      Driver: 'bridge',
      CheckDuplicate: true,
      EnableIPv6: false,
      IPAM: { Driver: 'default', Config: [{ Subnet: '10.5.42.0/24', Gateway: '10.5.42.1' }] },
      Options: {
        'com.docker.network.bridge.name': 'tsfl0',
        'com.docker.network.bridge.enable_ip_masquerade': 'false',
        'com.docker.network.driver.mtu': '1450',
      },
      Labels: { 'io.tsflannel.managed': 'true' },
    });
  });

  test('asks Docker 28 and later not to drop what other hosts send, and older ones nothing that they do not know', () => {
    const mode = 'com.docker.network.bridge.gateway_mode_ipv4';
    expect(creation(47).Options).not.toHaveProperty([mode]);
    expect(creation(48).Options).toMatchObject({ [mode]: 'nat-unprotected' });
  });

  test('has the IPv6 side of the lease, or that alone', () => {
    const v6 = toCidr('fd00:5:2a::/64');
    expect(creation(NEW, { ...WISH, subnets: [...WISH.subnets, v6] })).toMatchObject({
      EnableIPv6: true,
      IPAM: { Config: [{ Subnet: '10.5.42.0/24' }, { Subnet: 'fd00:5:2a::/64', Gateway: 'fd00:5:2a::1' }] },
      Options: { 'com.docker.network.bridge.gateway_mode_ipv6': 'nat-unprotected' },
    });
    expect(creation(NEW, { ...WISH, subnets: [v6] })).toMatchObject({ EnableIPv4: false, EnableIPv6: true });
  });

  test('of a lease without IPv4 stays where the engine gave it IPv4 all the same', () => {
    const wish = { ...WISH, subnets: [toCidr('fd00:5:2a::/64')] };
    const network = { ...made(OLD, wish), subnets: [...wish.subnets, toCidr('172.18.0.0/16')] };
    expect(planNetwork([network], OLD, wish)).toEqual({ kind: 'keep' });
  });

  test('that is as wanted stays, with its containers', () => {
    for (const apiMinor of [OLD, NEW])
      expect(planNetwork([{ ...made(apiMinor), containers: ['web'] }], apiMinor, WISH)).toEqual({
        kind: 'keep',
      });
  });

  test.each<[string, NetworkWish, number]>([
    ['another lease', { ...WISH, subnets: [toCidr('10.5.43.0/24')] }, OLD],
    ['another MTU', { ...WISH, mtu: 1500 }, OLD],
    ['another masquerade', { ...WISH, masquerade: true }, OLD],
    ['an IPv6 side', { ...WISH, subnets: [...WISH.subnets, toCidr('fd00::/64')] }, OLD],
    ['a newer engine', WISH, NEW],
  ])('is made anew for %s, and never from under a container', (_, wish, apiMinor) => {
    const before = made(OLD);
    expect(planNetwork([before], apiMinor, wish)).toMatchObject({ kind: 'create', remove: before.id });
    const used = { ...before, containers: ['db', 'web'] };
    expect(planNetwork([used], apiMinor, wish)).toMatchObject({
      kind: 'refuse',
      refusal: { code: 'network-in-use', exitCode: 7, text: expect.stringContaining('containers: db, web') },
    });
  });
});

describe('the lease has one network', () => {
  test('docker0, where that has all of it', () => {
    expect(planNetwork([network('bridge', ['10.5.42.0/24'])], NEW, WISH)).toEqual({ kind: 'docker0' });
  });

  test.each([
    ['docker0 with a part of it', 'bridge', '10.5.42.0/25', 'without --bip'],
    ['docker0 with more', 'bridge', '10.5.0.0/16', 'without --bip'],
    ['another network', 'shop', '10.5.42.0/24', 'docker network rm shop'],
  ])('and %s is in its way', (_, name, subnet, fix) => {
    expect(refusal([network(name, [subnet])])).toMatchObject({
      code: 'subnet-in-docker',
      exitCode: 7,
      fix: expect.stringContaining(fix),
    });
  });

  test('also when ours is to be made anew', () => {
    const moved = { ...WISH, subnets: [toCidr('10.5.43.0/24')] };
    expect(refusal([made(OLD), network('bridge', ['10.5.43.0/24'])], moved)).toBe('docker0');
    expect(refusal([made(OLD), network('shop', ['10.5.43.0/24'])], moved)).toMatchObject({ exitCode: 7 });
  });

  test('and a network of our name that is not ours is left alone', () => {
    expect(refusal([network('tsflannel', ['172.18.0.0/16'])])).toMatchObject({
      code: 'network-not-ours',
      exitCode: 7,
    });
  });
});
