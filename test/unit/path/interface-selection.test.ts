import { describe, expect, test } from 'vitest';
import { toIp } from '../../../src/net/ip.ts';
import type { Link, LinkAddress, RouteAnswer } from '../../../src/net/link.ts';
import {
  type InterfaceFacts,
  type InterfaceWish,
  missingFamilies,
  selectInterface,
} from '../../../src/path/interface-selection.ts';

function link(name: string, index: number, more: Partial<Link> = {}): Link {
  return {
    ...{ index, name, kind: null, alias: null, mac: null, mtu: 1500, up: true, loopback: false, vxlan: null },
    ...more,
  };
}

function address(iface: string, ip: string, more: Partial<LinkAddress> = {}): LinkAddress {
  return {
    ...{ iface, ip: toIp(ip), prefixLength: 24, label: iface, metric: 0, scope: 'global' },
    ...{ permanent: true, deprecated: false, temporary: false, tentative: false },
    ...more,
  };
}

function way(iface: string, src: string, more: Partial<RouteAnswer> = {}): RouteAnswer {
  return { type: 'unicast', iface, gateway: null, src: toIp(src), ...more };
}

/** The virtual machine of the scenario: NAT with the default route first, the network between hosts second. */
const facts: InterfaceFacts = {
  links: [
    link('lo', 1, { loopback: true, mtu: 65_536 }),
    link('enp0s3', 2),
    link('enp0s8', 3, { mtu: 9000 }),
    link('bare0', 4),
  ],
  addresses: [
    address('lo', '127.0.0.1', { scope: 'host' }),
    address('enp0s3', '10.0.2.15'),
    address('enp0s8', '192.168.56.21'),
    address('enp0s8', '192.168.56.22'),
  ],
  wayToReach: null,
  wayToJoined: null,
  defaultIfaces: { 4: 'enp0s3', 6: null },
};
const nothing: InterfaceWish = {
  ...{ iface: [], ifaceRegex: [], canReach: null, publicIp: null, publicIpv6: null, joins: null, peers: [] },
  families: [4],
};

function select(wish: Partial<InterfaceWish>, more: Partial<InterfaceFacts> = {}): unknown {
  const result = selectInterface({ ...nothing, ...wish }, { ...facts, ...more });
  if (!result.ok) return result.refusal;
  const { host, publicIp } = result.selection;
  return { iface: host.iface, address: host.address, publicIp };
}

const NO_INTERFACE = { exitCode: 2, code: 'no-interface' };
const nat = { iface: 'enp0s3', address: '10.0.2.15', publicIp: '10.0.2.15' };
const inner = { iface: 'enp0s8', address: '192.168.56.21', publicIp: '192.168.56.21' };

describe('without flags', () => {
  test('join uses the way to the address it joins, not the default route', () => {
    const wayToJoined = way('enp0s8', '192.168.56.21');
    expect(select({ joins: toIp('192.168.56.20') }, { wayToJoined })).toEqual(inner);
  });

  test('join refuses where no way leads there', () => {
    expect(select({ joins: toIp('192.0.2.1') })).toMatchObject(NO_INTERFACE);
  });

  test('init uses the interface that holds one of --peers', () => {
    const peers = ['192.168.56.20', '192.168.56.22'].map(toIp);
    expect(select({ peers })).toMatchObject({ iface: 'enp0s8', address: '192.168.56.22' });
  });

  test('init falls back to the default route', () => {
    expect(select({ peers: [toIp('192.0.2.1')] })).toEqual(nat);
    expect(select({}, { defaultIfaces: { 4: null, 6: null } })).toMatchObject(NO_INTERFACE);
  });

  test('--public-ip names the interface that owns it', () => {
    expect(select({ publicIp: toIp('192.168.56.22') })).toMatchObject({
      iface: 'enp0s8',
      publicIp: '192.168.56.22',
    });
    expect(select({ publicIp: toIp('203.0.113.9') })).toMatchObject(NO_INTERFACE);
  });
});

describe('with flags', () => {
  test('--iface takes names and addresses, the first that is there', () => {
    expect(select({ iface: ['eth7', 'enp0s8'] })).toEqual(inner);
    expect(select({ iface: ['192.168.56.22'] })).toMatchObject({ iface: 'enp0s8', address: '192.168.56.22' });
  });

  test('--public-ip may be the address of a NAT in front of it', () => {
    const publicIp = toIp('203.0.113.9');
    expect(select({ iface: ['enp0s8'], publicIp })).toEqual({ ...inner, publicIp: '203.0.113.9' });
  });

  test('--iface comes before --iface-regex, and that before --iface-can-reach', () => {
    const all = { iface: ['enp0s3'], ifaceRegex: ['enp0s8'], canReach: toIp('192.168.56.1') };
    const reach = { wayToReach: way('enp0s8', '192.168.56.22') };
    expect(select(all, reach)).toEqual(nat);
    expect(select({ ...all, iface: [] }, reach)).toEqual(inner);
    expect(select({ ...all, iface: [], ifaceRegex: ['wlan'] }, reach)).toMatchObject({
      address: '192.168.56.22',
    });
  });

  test('a pattern is tried on all addresses before any name, and is not anchored', () => {
    expect(select({ ifaceRegex: ['56\\.22'] })).toMatchObject({ address: '192.168.56.22' });
    const links = [link('net10.0.2', 9), ...facts.links];
    expect(select({ ifaceRegex: ['10\\.0\\.2'] }, { links })).toEqual(nat);
    expect(select({ ifaceRegex: ['s8$'] })).toEqual(inner);
  });

  test('a pattern that is none is refused', () => {
    expect(select({ ifaceRegex: ['('] })).toMatchObject({ exitCode: 2, code: 'bad-iface-regex' });
  });

  test('nothing that matches is refused with what there is', () => {
    expect(select({ iface: ['eth7'], ifaceRegex: ['wlan.*'] })).toMatchObject({
      ...NO_INTERFACE,
      text: 'No interface matches --iface eth7 or --iface-regex wlan.*; there are enp0s3 (10.0.2.15), enp0s8 (192.168.56.21, 192.168.56.22), bare0 (no address).',
    });
  });

  test('an interface without an address is refused', () => {
    expect(select({ iface: ['bare0'] })).toMatchObject({
      ...NO_INTERFACE,
      text: expect.stringContaining('bare0'),
    });
    expect(select({ iface: ['lo'] })).toMatchObject(NO_INTERFACE);
  });
});

test('of the addresses of an interface the lasting global one is best, and a deprecated one never', () => {
  const addresses = [
    address('enp0s8', '192.168.56.1', { deprecated: true }),
    address('enp0s8', '169.254.0.1', { scope: 'link' }),
    address('enp0s8', '192.168.56.3', { permanent: false }),
    address('enp0s8', '192.168.56.4'),
  ];
  const best = (count: number): unknown =>
    select({ iface: ['enp0s8'] }, { addresses: addresses.slice(0, count) });
  expect(best(4)).toMatchObject({ address: '192.168.56.4' });
  expect(best(3)).toMatchObject({ address: '192.168.56.3' });
  expect(best(2)).toMatchObject({ address: '169.254.0.1' });
  expect(best(1)).toMatchObject(NO_INTERFACE);
});

test('the facts of the interface come along', () => {
  const result = selectInterface({ ...nothing, iface: ['enp0s8'] }, facts);
  expect(result.ok && result.selection.host).toEqual({
    iface: 'enp0s8',
    index: 3,
    address: '192.168.56.21',
    address6: null,
    mtu: 9000,
  });
});

describe('IPv6', () => {
  const addresses = [
    ...facts.addresses,
    address('enp0s3', 'fe80::3', { scope: 'link' }),
    address('enp0s8', 'fe80::8', { scope: 'link' }),
    address('enp0s8', '2001:db8::99', { permanent: false, temporary: true }),
    address('enp0s8', '2001:db8::98', { deprecated: true }),
    address('enp0s8', '2001:db8::97', { tentative: true }),
    address('enp0s8', '2001:db8::2', { permanent: false }),
    address('enp0s8', '2001:db8::1'),
  ];
  const choose = (wish: Partial<InterfaceWish>, more: Partial<InterfaceFacts> = {}) =>
    selectInterface({ ...nothing, families: [4, 6], ...wish }, { ...facts, addresses, ...more });
  const chosen = (...args: Parameters<typeof choose>): unknown => {
    const result = choose(...args);
    if (!result.ok) return result.refusal;
    const { host, publicIp, publicIpv6 } = result.selection;
    return [host.iface, host.address, host.address6, publicIp, publicIpv6];
  };
  const both = ['enp0s8', '192.168.56.21', '2001:db8::1', '192.168.56.21', '2001:db8::1'];

  test('the address is a lasting one that others can reach, beside that of IPv4', () => {
    expect(chosen({ iface: ['enp0s8'] })).toEqual(both);
    const without = (...gone: string[]) => addresses.filter(({ ip }) => !gone.includes(ip));
    expect(chosen({ iface: ['enp0s8'] }, { addresses: without('2001:db8::1') })).toContain('2001:db8::2');
    const none = without('2001:db8::1', '2001:db8::2');
    expect(chosen({ iface: ['enp0s8'] }, { addresses: none })).toEqual([
      ...both.slice(0, 2),
      null,
      both[1],
      null,
    ]);
    expect(chosen({ iface: ['enp0s8'], families: [6] }, { addresses: none })).toMatchObject({
      ...NO_INTERFACE,
      text: 'Interface enp0s8 has no IPv6 address to use.',
    });
  });

  test('says which family of the network is missing now', () => {
    const result = choose({ iface: ['enp0s3'] });
    expect(result.ok && missingFamilies(result.selection, [4, 6])).toEqual([6]);
    expect(result.ok && missingFamilies(result.selection, [4])).toEqual([]);
  });

  test('without flags a network of IPv6 alone goes by its own default route', () => {
    const defaultIfaces = { 4: 'enp0s3', 6: 'enp0s8' };
    expect(chosen({ families: [6] }, { defaultIfaces })).toEqual(both);
    expect(chosen({}, { defaultIfaces })).toEqual(['enp0s3', '10.0.2.15', null, '10.0.2.15', null]);
  });

  test('the way to an IPv6 address names the interface, not an address that is given up again', () => {
    const joins = toIp('2001:db8::9');
    expect(chosen({ joins }, { wayToJoined: way('enp0s8', '2001:db8::99') })).toEqual(both);
    expect(chosen({ joins }, { wayToJoined: way('enp0s8', '2001:db8::2') })).toContain('2001:db8::2');
  });

  test('--public-ipv6 is told to the others, and without flags finds the interface', () => {
    const publicIpv6 = toIp('2001:db8::2');
    expect(chosen({ publicIpv6 })).toEqual([
      'enp0s8',
      '192.168.56.21',
      '2001:db8::2',
      '192.168.56.21',
      '2001:db8::2',
    ]);
    expect(chosen({ publicIpv6, iface: ['enp0s8'] })).toEqual([...both.slice(0, 4), '2001:db8::2']);
    expect(chosen({ publicIpv6, publicIp: toIp('10.0.2.15') })).toMatchObject({
      ...NO_INTERFACE,
      text: expect.stringContaining('enp0s3 and enp0s8'),
    });
    expect(chosen({ publicIpv6: toIp('2001:db8::77') })).toMatchObject(NO_INTERFACE);
  });
});
