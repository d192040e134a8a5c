/**
 * What else on this host has a say in its network: facts for the checks, read from files alone (sysfs, proc, state and
 * configuration of other programs), so that looking costs a few milliseconds and no process. Decides nothing.
 *
 * Programs of the host look after the network of the host: in another network namespace they are left out.
 */
import type { Family } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { HostFiles } from './files.ts';
import {
  EVERYTHING,
  isNo,
  type OpenPorts,
  parseFirewalldPorts,
  parseFirewalldZone,
  parseSections,
  parseUfwRules,
} from './formats.ts';

/** What this host needs of it. */
export interface Wanted {
  /** Between the hosts. */
  readonly iface: string;
  readonly devices: readonly { readonly name: string; readonly mac: Mac; readonly family: Family }[];
  /** Of the agents, UDP and TCP. */
  readonly port: number;
  /** UDP; null without vxlan. */
  readonly vxlanPort: number | null;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

export interface NetworkdFacts {
  /** As configured: it keeps routes, and rules, that it did not make. */
  readonly keepsRoutes: boolean;
  readonly keepsRules: boolean;
  /** It runs since before that was configured. */
  readonly isOutdated: boolean;
}

export interface DeviceFacts {
  readonly name: string;
  /** As it is now; null while the device is not there. */
  readonly mac: string | null;
  /** The udev file that was applied to it, and its MACAddressPolicy. */
  readonly linkFile: string | null;
  readonly macPolicy: string | null;
}

export interface FirewallFacts {
  readonly program: 'firewalld' | 'ufw';
  /** By its configuration, to somebody at least. */
  readonly open: readonly OpenPorts[];
}

/** Null: does not run, or does not look after the network that the agent is in. */
export interface Surroundings {
  readonly networkd: NetworkdFacts | null;
  /** Interfaces of ours that it manages. */
  readonly networkManager: readonly string[] | null;
  readonly devices: readonly DeviceFacts[];
  /** By path below /proc/sys. */
  readonly sysctls: ReadonlyMap<string, string>;
  readonly firewalls: readonly FirewallFacts[];
}

export async function readSurroundings(files: HostFiles, wanted: Wanted): Promise<Surroundings> {
  const isHostNetwork = await sharesHostNetwork(files);
  return {
    networkd: isHostNetwork ? await networkd(files) : null,
    networkManager: isHostNetwork ? await networkManager(files, wanted) : null,
    devices: await Promise.all(wanted.devices.map(({ name }) => device(files, name))),
    sysctls: await sysctls(files, wanted),
    firewalls: isHostNetwork ? [...(await firewalld(files, wanted)), ...(await ufw(files))] : [],
  };
}

/** An agent without the right to look at process 1 is one that systemd started, on the host itself. */
async function sharesHostNetwork(files: HostFiles): Promise<boolean> {
  const host = await files.link('proc/1/ns/net');
  return host === null || host === (await files.link('proc/self/ns/net'));
}

/** systemd keeps this link for as long as the unit is active; null where it is not. */
function activeSinceMs(files: HostFiles, unit: string): Promise<number | null> {
  return files.madeAtMs(`run/systemd/units/invocation:${unit}.service`);
}

/** In the order in which one hides another of the same name. */
const SYSTEMD_DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'usr/lib'].map((top) => `${top}/systemd`);

async function networkd(files: HostFiles): Promise<NetworkdFacts | null> {
  const sinceMs = await activeSinceMs(files, 'systemd-networkd');
  if (sinceMs === null) return null;
  let keepsRoutes = false;
  let keepsRules = false;
  let configuredAtMs = 0;
  for (const path of await networkdFiles(files)) {
    const settings = parseSections((await files.text(path)) ?? '');
    const routes = settings.get('Network.ManageForeignRoutes');
    const rules = settings.get('Network.ManageForeignRoutingPolicyRules');
    if (routes === undefined && rules === undefined) continue;
    keepsRoutes = routes === undefined ? keepsRoutes : isNo(routes);
    keepsRules = rules === undefined ? keepsRules : isNo(rules);
    configuredAtMs = Math.max(configuredAtMs, (await files.changedAtMs(path)) ?? 0);
  }
  return { keepsRoutes, keepsRules, isOutdated: configuredAtMs > sinceMs };
}

/** networkd.conf, then the drop-ins by name, wherever they lie. */
async function networkdFiles(files: HostFiles): Promise<readonly string[]> {
  const dropIns = new Map<string, string>();
  let main: string | null = null;
  for (const directory of SYSTEMD_DIRECTORIES) {
    const path = `${directory}/networkd.conf`;
    if (main === null && (await files.text(path)) !== null) main = path;
    for (const name of await files.names(`${path}.d`))
      if (name.endsWith('.conf') && !dropIns.has(name)) dropIns.set(name, `${path}.d/${name}`);
  }
  const named = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  return main === null ? named : [main, ...named];
}

async function networkManager(files: HostFiles, { devices }: Wanted): Promise<readonly string[] | null> {
  if ((await activeSinceMs(files, 'NetworkManager')) === null) return null;
  const managed: string[] = [];
  for (const { name } of devices) {
    const index = await line(files, `sys/class/net/${name}/ifindex`);
    const state = index === null ? null : await files.text(`run/NetworkManager/devices/${index}`);
    const value = parseSections(state ?? '').get('device.managed');
    if (value !== undefined && !isNo(value)) managed.push(name);
  }
  return managed;
}

async function device(files: HostFiles, name: string): Promise<DeviceFacts> {
  const mac = await line(files, `sys/class/net/${name}/address`);
  const index = await line(files, `sys/class/net/${name}/ifindex`);
  const udev = index === null ? null : await files.text(`run/udev/data/n${index}`);
  const linkFile = /^E:ID_NET_LINK_FILE=(.+)$/m.exec(udev ?? '')?.[1] ?? null;
  const link = linkFile === null ? null : await files.text(linkFile);
  const macPolicy = parseSections(link ?? '').get('Link.MACAddressPolicy') ?? null;
  return { name, mac, linkFile, macPolicy };
}

async function sysctls(files: HostFiles, wanted: Wanted): Promise<ReadonlyMap<string, string>> {
  const keys = [
    ...['net/ipv4/ip_forward', 'net/ipv4/conf/all/rp_filter'],
    ...ipv4Ifaces(wanted).flatMap((iface) =>
      ['rp_filter', 'forwarding'].map((name) => `net/ipv4/conf/${iface}/${name}`),
    ),
    ...(wanted.ipv6 ? ['net/ipv6/conf/all/forwarding', `net/ipv6/conf/${wanted.iface}/accept_ra`] : []),
  ];
  const values = await Promise.all(keys.map((key) => line(files, `proc/sys/${key}`)));
  return new Map(keys.flatMap((key, place) => (values[place] == null ? [] : [[key, values[place]]])));
}

/** Where packets of the IPv4 network come and go. */
export function ipv4Ifaces({ ipv4, iface, devices }: Wanted): readonly string[] {
  if (!ipv4) return [];
  return [iface, ...devices.filter(({ family }) => family === 4).map(({ name }) => name)];
}

const FIREWALLD_DIRECTORIES = ['etc/firewalld', 'usr/lib/firewalld'];

/**
 * Which zone an interface is in may be known to a running firewalld only, so ports count that the administrator has
 * opened in any zone; a zone that accepts everything counts where its files say that it is about us.
 */
async function firewalld(files: HostFiles, { iface }: Wanted): Promise<readonly FirewallFacts[]> {
  if ((await activeSinceMs(files, 'firewalld')) === null) return [];
  const settings = (await files.text('etc/firewalld/firewalld.conf')) ?? '';
  const standard = /^DefaultZone=(\S+)/m.exec(settings)?.[1] ?? 'public';
  const own = (await files.names('etc/firewalld/zones')).filter((name) => name.endsWith('.xml'));
  const open: OpenPorts[] = [];
  for (const file of new Set([...own, `${standard}.xml`])) {
    const zone = parseFirewalldZone((await firewalldFile(files, `zones/${file}`)) ?? '');
    const isOurs = file === `${standard}.xml` || zone.hasSources || zone.interfaces.includes(iface);
    if (zone.acceptsAll && isOurs) open.push(EVERYTHING);
    open.push(...zone.ports);
    for (const service of zone.services)
      open.push(...parseFirewalldPorts((await firewalldFile(files, `services/${service}.xml`)) ?? ''));
  }
  return [{ program: 'firewalld', open }];
}

async function firewalldFile(files: HostFiles, path: string): Promise<string | null> {
  for (const directory of FIREWALLD_DIRECTORIES) {
    const text = await files.text(`${directory}/${path}`);
    if (text !== null) return text;
  }
  return null;
}

async function ufw(files: HostFiles): Promise<readonly FirewallFacts[]> {
  if (!/^ENABLED=yes/im.test((await files.text('etc/ufw/ufw.conf')) ?? '')) return [];
  const policy = (await files.text('etc/default/ufw')) ?? '';
  const open = /^DEFAULT_INPUT_POLICY="?ACCEPT/m.test(policy) ? [EVERYTHING] : [];
  for (const name of ['before', 'user', 'after'])
    open.push(...parseUfwRules((await files.text(`etc/ufw/${name}.rules`)) ?? ''));
  return [{ program: 'ufw', open }];
}

async function line(files: HostFiles, path: string): Promise<string | null> {
  return (await files.text(path))?.trim() ?? null;
}
