/**
 * Whether the rest of this host works against the data plane: from facts to warnings, each one sentence and what to do.
 * Pure. The agent puts back what others take away, so these are warnings; they say why it has to.
 */
import type { Problem } from '../observe/agent-facts.ts';
import type { OpenPorts } from './formats.ts';
import {
  type DeviceFacts,
  type FirewallFacts,
  ipv4Ifaces,
  type Surroundings,
  type Wanted,
} from './surroundings.ts';

export function checkSurroundings(found: Surroundings, wanted: Wanted): readonly Problem[] {
  return [
    ...checkNetworkd(found),
    ...checkNetworkManager(found),
    ...found.devices.flatMap((device) => checkMac(device, wanted)),
    ...checkForwarding(found, wanted),
    ...checkReversePath(found, wanted),
    ...checkAdvertisements(found, wanted),
    ...found.firewalls.flatMap((firewall) => checkFirewall(firewall, wanted)),
  ];
}

function warning(code: string, text: string, fix: string): readonly Problem[] {
  return [{ code, severity: 'warning', text, fix }];
}

function checkNetworkd({ networkd }: Surroundings): readonly Problem[] {
  if (networkd === null) return [];
  const { keepsRoutes, keepsRules, isOutdated } = networkd;
  if (!keepsRoutes || !keepsRules) {
    const what = [...(keepsRoutes ? [] : ['routes']), ...(keepsRules ? [] : ['routing rules'])].join(' and ');
    return warning(
      'networkd-foreign-routes',
      `systemd-networkd removes the ${what} of others, ours too, when it starts or an interface comes up.`,
      'Install tsflannel.conf into /etc/systemd/networkd.conf.d (ManageForeignRoutes=no, ManageForeignRoutingPolicyRules=no) and run "systemctl restart systemd-networkd".',
    );
  }
  if (!isOutdated) return [];
  return warning(
    'networkd-foreign-routes',
    'systemd-networkd runs since before it was told to leave the routes of others alone.',
    'Run "systemctl restart systemd-networkd".',
  );
}

function checkNetworkManager({ networkManager }: Surroundings): readonly Problem[] {
  const [first, ...others] = networkManager ?? [];
  if (first === undefined) return [];
  return warning(
    'network-manager-device',
    `NetworkManager manages ${[first, ...others].join(' and ')}, and may change address, MAC or state of it.`,
    'Install tsflannel.conf into /etc/NetworkManager/conf.d (unmanaged-devices) and run "nmcli general reload".',
  );
}

function checkMac({ name, mac, linkFile, macPolicy }: DeviceFacts, wanted: Wanted): readonly Problem[] {
  const announced = wanted.devices.find((device) => device.name === name)?.mac;
  if (mac === null || announced === undefined || mac === announced) return [];
  const byUdev = macPolicy !== null && macPolicy !== 'none';
  return warning(
    'device-mac-changed',
    `${name} has the MAC ${mac} and not ${announced}, which the other hosts send to${byUdev ? `: ${linkFile} lets udev choose one (MACAddressPolicy=${macPolicy})` : ''}.`,
    byUdev
      ? 'Install 50-tsflannel.link into /etc/systemd/network and run "udevadm control --reload".'
      : 'Find what changes it with "ip monitor link" and tell it to leave this device alone.',
  );
}

function checkForwarding({ sysctls }: Surroundings, wanted: Wanted): readonly Problem[] {
  const off = (key: string): boolean => sysctls.get(key) === '0';
  const keys = [
    ...(wanted.ipv4 ? ['net/ipv4/ip_forward'] : []),
    ...ipv4Ifaces(wanted).map((iface) => `net/ipv4/conf/${iface}/forwarding`),
    ...(wanted.ipv6 ? ['net/ipv6/conf/all/forwarding'] : []),
  ];
  const key = keys.find(off);
  if (key === undefined) return [];
  return warning(
    'forwarding-off',
    `Somebody has turned forwarding off (${setting(key)} is 0): packets do not get from other hosts to containers.`,
    `Find what does it (a file in /etc/sysctl.d, a hardening script) and set ${setting(key)} to 1.`,
  );
}

/** The kernel takes the greater of the interface's value and the one for all; strict is 1. */
function checkReversePath({ sysctls }: Surroundings, wanted: Wanted): readonly Problem[] {
  const value = (iface: string): number => Number(sysctls.get(`net/ipv4/conf/${iface}/rp_filter`) ?? 0);
  const strict = ipv4Ifaces(wanted).find((iface) => Math.max(value('all'), value(iface)) === 1);
  if (strict === undefined) return [];
  const by =
    value(strict) === 1 ? setting(`net/ipv4/conf/${strict}/rp_filter`) : 'net.ipv4.conf.all.rp_filter';
  return warning(
    'strict-reverse-path',
    `${by} is 1: ${strict} drops what comes in by another way than the answer takes, as when a path changes on one side first.`,
    `Set ${setting(`net/ipv4/conf/${strict}/rp_filter`)} to 2, and find what sets it to 1 (a file in /etc/sysctl.d).`,
  );
}

function checkAdvertisements({ sysctls }: Surroundings, { ipv6, iface }: Wanted): readonly Problem[] {
  const key = `net/ipv6/conf/${iface}/accept_ra`;
  if (!ipv6 || sysctls.get(key) !== '1' || sysctls.get('net/ipv6/conf/all/forwarding') !== '1') return [];
  return warning(
    'router-advertisements-ignored',
    `${setting(key)} is 1, and with forwarding on the kernel ignores router advertisements then: a default route or address that ${iface} had from one is lost.`,
    `Set ${setting(key)} to 2, or give ${iface} its IPv6 address and route by configuration.`,
  );
}

function checkFirewall({ program, open }: FirewallFacts, { port, vxlanPort }: Wanted): readonly Problem[] {
  const needed = [
    { protocol: 'tcp', port },
    { protocol: 'udp', port },
    ...(vxlanPort === null ? [] : [{ protocol: 'udp', port: vxlanPort }]),
  ];
  const closed = needed
    .filter((need) => !open.some((range) => lets(range, need)))
    .map((need) => `${need.protocol.toUpperCase()} ${need.port}`);
  if (closed.length === 0) return [];
  const fix = {
    firewalld: 'Run "firewall-cmd --permanent --add-service=tsflannel" and "firewall-cmd --reload".',
    ufw: 'Run "ufw allow from NETWORK-OF-THE-HOSTS to any app tsflannel".',
  };
  return warning(
    'host-firewall-closed',
    `${program} is on, and by its configuration lets ${closed.join(', ')} of the other hosts in from nowhere.`,
    `${fix[program]} The service comes with tsflannel; other ports than its own need a rule of yours.`,
  );
}

function lets(
  range: OpenPorts,
  { protocol, port }: { readonly protocol: string; readonly port: number },
): boolean {
  return (range.protocol === 'any' || range.protocol === protocol) && range.from <= port && port <= range.to;
}

/** As `sysctl` writes it: a dot in a name becomes a slash. */
function setting(path: string): string {
  return path
    .split('/')
    .map((part) => part.replaceAll('.', '/'))
    .join('.');
}
