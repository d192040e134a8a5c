import { expect, test } from 'vitest';
import { checkSurroundings } from '../../../src/host/checks.ts';
import type { Surroundings, Wanted } from '../../../src/host/surroundings.ts';
import { macFromBytes } from '../../../src/net/mac.ts';

const mac = macFromBytes(Buffer.from('020000000001', 'hex'));
const wanted: Wanted = {
  iface: 'eth0.7',
  devices: [{ name: 'flannel.1', mac, family: 4 }],
  ...{ port: 6473, vxlanPort: 8472, ipv4: true, ipv6: true },
};
const open = { protocol: 'any', from: 6000, to: 9000 } as const;
const sysctls = {
  'net/ipv4/ip_forward': '1',
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/eth0.7/rp_filter': '2',
  'net/ipv4/conf/eth0.7/forwarding': '1',
  'net/ipv4/conf/flannel.1/rp_filter': '0',
  'net/ipv4/conf/flannel.1/forwarding': '1',
  'net/ipv6/conf/all/forwarding': '1',
  'net/ipv6/conf/eth0.7/accept_ra': '2',
};

/** Every program is there and none works against us. */
const friendly: Surroundings = {
  networkd: { keepsRoutes: true, keepsRules: true, isOutdated: false },
  networkManager: [],
  devices: [{ name: 'flannel.1', mac, linkFile: '/usr/lib/x.link', macPolicy: 'persistent' }],
  sysctls: new Map(Object.entries(sysctls)),
  firewalls: [
    { program: 'firewalld', open: [open] },
    { program: 'ufw', open: [open] },
  ],
};

function problems(change: Partial<Surroundings>, want: Partial<Wanted> = {}): readonly string[] {
  return checkSurroundings({ ...friendly, ...change }, { ...wanted, ...want }).map(
    ({ code, severity, text, fix }) => {
      expect(severity).toBe('warning');
      expect(fix).toMatch(/\.$/);
      return `${code}: ${text}`;
    },
  );
}

function with_(key: keyof typeof sysctls, value: string): Partial<Surroundings> {
  return { sysctls: new Map(Object.entries({ ...sysctls, [key]: value })) };
}

test('a host whose programs leave us alone has nothing to report', () => {
  expect(problems({})).toEqual([]);
});

test('nor has one that has none of them, or where nothing can be read', () => {
  const unknown = { devices: [{ name: 'flannel.1', mac: null, linkFile: null, macPolicy: null }] };
  expect(
    problems({ networkd: null, networkManager: null, ...unknown, sysctls: new Map(), firewalls: [] }),
  ).toEqual([]);
});

const networkd = { keepsRoutes: true, keepsRules: true, isOutdated: false };
const udev = { name: 'flannel.1', linkFile: '/usr/lib/systemd/network/99-default.link', macPolicy: null };

test.each<[what: string, change: Partial<Surroundings>, problem: string]>([
  [
    'networkd removes routes and rules',
    { networkd: { ...networkd, keepsRoutes: false, keepsRules: false } },
    'networkd-foreign-routes: systemd-networkd removes the routes and routing rules of others',
  ],
  [
    'networkd removes rules only',
    { networkd: { ...networkd, keepsRules: false } },
    'networkd-foreign-routes: systemd-networkd removes the routing rules of others',
  ],
  [
    'networkd was not restarted since it was told',
    { networkd: { ...networkd, isOutdated: true } },
    'networkd-foreign-routes: systemd-networkd runs since before',
  ],
  [
    'NetworkManager manages the device',
    { networkManager: ['flannel.1'] },
    'network-manager-device: NetworkManager manages flannel.1,',
  ],
  [
    'udev chose another MAC',
    { devices: [{ ...udev, mac: '02:ff:00:00:00:02', macPolicy: 'persistent' }] },
    'device-mac-changed: flannel.1 has the MAC 02:ff:00:00:00:02 and not 02:00:00:00:00:01, which the other hosts send to: /usr/lib/systemd/network/99-default.link lets udev choose one (MACAddressPolicy=persistent).',
  ],
  [
    'somebody else changed the MAC',
    { devices: [{ ...udev, mac: '02:ff:00:00:00:02', macPolicy: 'none' }] },
    'device-mac-changed: flannel.1 has the MAC 02:ff:00:00:00:02 and not 02:00:00:00:00:01, which the other hosts send to.',
  ],
  [
    'forwarding was turned off',
    with_('net/ipv4/ip_forward', '0'),
    'forwarding-off: Somebody has turned forwarding off (net.ipv4.ip_forward is 0)',
  ],
  [
    'forwarding was turned off on one interface',
    with_('net/ipv4/conf/flannel.1/forwarding', '0'),
    'forwarding-off: Somebody has turned forwarding off (net.ipv4.conf.flannel/1.forwarding is 0)',
  ],
  [
    'IPv6 forwarding was turned off',
    with_('net/ipv6/conf/all/forwarding', '0'),
    'forwarding-off: Somebody has turned forwarding off (net.ipv6.conf.all.forwarding is 0)',
  ],
  [
    'the reverse path filter of the interface is strict',
    with_('net/ipv4/conf/eth0.7/rp_filter', '1'),
    'strict-reverse-path: net.ipv4.conf.eth0/7.rp_filter is 1: eth0.7 drops',
  ],
  [
    'that of all interfaces is',
    with_('net/ipv4/conf/all/rp_filter', '1'),
    'strict-reverse-path: net.ipv4.conf.all.rp_filter is 1: flannel.1 drops',
  ],
  [
    'router advertisements are accepted by a host only',
    with_('net/ipv6/conf/eth0.7/accept_ra', '1'),
    'router-advertisements-ignored: net.ipv6.conf.eth0/7.accept_ra is 1',
  ],
  [
    'firewalld opens one of the ports',
    { firewalls: [{ program: 'firewalld', open: [{ protocol: 'udp', from: 8472, to: 8472 }] }] },
    'host-firewall-closed: firewalld is on, and by its configuration lets TCP 6473, UDP 6473 of the other hosts in from nowhere.',
  ],
  [
    'ufw opens the control port only',
    { firewalls: [{ program: 'ufw', open: [{ protocol: 'any', from: 6473, to: 6473 }] }] },
    'host-firewall-closed: ufw is on, and by its configuration lets UDP 8472 of the other hosts in from nowhere.',
  ],
])('%s: a warning', (_, change, problem) => {
  expect(problems(change)).toEqual([expect.stringContaining(problem)]);
});

test('a loose filter for all interfaces makes a strict one of an interface loose', () => {
  const both = { ...sysctls, 'net/ipv4/conf/all/rp_filter': '2', 'net/ipv4/conf/eth0.7/rp_filter': '1' };
  expect(problems({ sysctls: new Map(Object.entries(both)) })).toEqual([]);
});

test('IPv6 settings do not matter to a cluster without it, nor the vxlan port without vxlan', () => {
  expect(problems(with_('net/ipv6/conf/all/forwarding', '0'), { ipv6: false })).toEqual([]);
  const control = { program: 'ufw', open: [{ protocol: 'any', from: 6473, to: 6473 }] } as const;
  expect(problems({ firewalls: [control] }, { vxlanPort: null })).toEqual([]);
});

test('nor do IPv4 settings to one without IPv4, or to a tunnel of IPv6', () => {
  const strict = { ...sysctls, 'net/ipv4/conf/flannel.1/rp_filter': '1', 'net/ipv4/ip_forward': '0' };
  const change = { sysctls: new Map(Object.entries(strict)) };
  expect(problems(change, { ipv4: false })).toEqual([]);
  const [device] = wanted.devices;
  if (device === undefined) throw new Error('there is one');
  expect(
    problems(with_('net/ipv4/conf/flannel.1/rp_filter', '1'), { devices: [{ ...device, family: 6 }] }),
  ).toEqual([]);
});
