/**
 * The kernel settings that forwarding between containers of different hosts needs: forwarding itself, a reverse path
 * filter that is not strict where paths may change on one side first, and marks that go from a probe to its answer.
 * Says which ones have to change, and never touches another. A value that somebody else has set since is theirs and
 * stays.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Family } from '../net/ip.ts';

export const FORWARDING: Readonly<Record<Family, string>> = {
  4: 'net/ipv4/ip_forward',
  6: 'net/ipv6/conf/all/forwarding',
};
/** Never written. */
export const BOOT_ID = 'kernel/random/boot_id';
/** What a file of ours may name; a name of an interface holds no slash. */
export const SYSCTL_KEY: RegExp =
  /^net\/(ipv4\/(ip_forward|fwmark_reflect|conf\/[^/\s]{1,15}\/(rp_filter|src_valid_mark))|ipv6\/(fwmark_reflect|conf\/(all\/forwarding|[^/\s]{1,15}\/accept_ra)))$/;

/** Keys are paths below /proc/sys, because names of interfaces may hold dots. */
export interface Sysctls {
  /** Null where there is no such setting: no such interface, or a kernel without it. */
  read(key: string): Promise<string | null>;
  write(key: string, value: string): Promise<void>;
}

export interface SysctlChange {
  readonly key: string;
  readonly from: string;
  readonly to: string;
}

/** What of this host's settings is ours to change. */
export interface SysctlWish {
  readonly families: readonly Family[];
  /** The interfaces that packets of other hosts come by, the external one first. */
  readonly uplinks: readonly string[];
  /** Those of them that are ours: no router is to configure them. */
  readonly devices: readonly string[];
  /** Answers to probes go the way of the probe. */
  readonly marks: boolean;
}

/** In the order in which they are to be made; forwarding is not among them. */
export async function settingChanges(sysctls: Sysctls, wish: SysctlWish): Promise<readonly SysctlChange[]> {
  const changes: SysctlChange[] = [];
  const set = async (key: string, to: string, isWrong: (own: string) => boolean): Promise<void> => {
    const from = await sysctls.read(key);
    if (from !== null && from !== to && isWrong(from)) changes.push({ key, from, to });
  };
  const always = (): boolean => true;
  if (wish.families.includes(4)) {
    const all = Number(await sysctls.read('net/ipv4/conf/all/rp_filter'));
    for (const iface of wish.uplinks) {
      // The kernel takes the greater of the two; strict is 1. Loose: the source is reachable by whatever interface.
      await set(`net/ipv4/conf/${iface}/rp_filter`, '2', (own) => Math.max(all, Number(own)) === 1);
      // Otherwise the filter asks for the way back without the mark, which is another.
      if (wish.marks) await set(`net/ipv4/conf/${iface}/src_valid_mark`, '1', always);
    }
  }
  if (wish.families.includes(6))
    for (const device of wish.devices) await set(acceptsAdvertisements(device), '0', always);
  if (wish.marks) for (const f of wish.families) await set(`net/ipv${f}/fwmark_reflect`, '1', always);
  return changes;
}

/**
 * What turns forwarding on, in the order in which it is to be made. A host that forwards IPv6 takes no router
 * advertisements any more and forgets the default route that it has from one, unless it was told to take them all the
 * same (2).
 */
export async function forwardingChanges(
  sysctls: Sysctls,
  family: Family,
  iface: string,
): Promise<readonly SysctlChange[]> {
  const key = FORWARDING[family];
  if ((await sysctls.read(key)) !== '0') return [];
  const change = { key, from: '0', to: '1' };
  if (family === 4) return [change];
  const advertisements = acceptsAdvertisements(iface);
  const accepts = (await sysctls.read(advertisements)) === '1';
  return accepts ? [{ key: advertisements, from: '1', to: '2' }, change] : [change];
}

function acceptsAdvertisements(iface: string): string {
  return `net/ipv6/conf/${iface}/accept_ra`;
}

/** Back to the old values, where ours is still in place. */
export async function restoreSysctls(sysctls: Sysctls, old: Readonly<Record<string, string>>): Promise<void> {
  // Forwarding first, before what guards it goes, and before a host that takes advertisements is one that does not.
  const entries = Object.entries(old).sort(([a], [b]) => Number(isForwarding(b)) - Number(isForwarding(a)));
  for (const [key, value] of entries) {
    const ours = /rp_filter|accept_ra/.test(key) ? '2' : '1';
    if ((await sysctls.read(key)) === ours) await sysctls.write(key, value);
  }
}

function isForwarding(key: string): boolean {
  return key === FORWARDING[4] || key === FORWARDING[6];
}

export const procSysctls: Sysctls = {
  async read(key) {
    try {
      return (await readFile(`/proc/sys/${key}`, 'utf8')).trim();
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw refused(key, 'read', error);
    }
  },
  async write(key, value) {
    try {
      await writeFile(`/proc/sys/${key}`, `${value}\n`);
    } catch (error) {
      // The interface is gone, and its setting with it.
      if (codeOf(error) !== 'ENOENT') throw refused(key, `set to ${value}`, error);
    }
  },
};

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function refused(key: string, what: string, cause: unknown): TsflannelError {
  const text = `/proc/sys/${key} cannot be ${what}: ${codeOf(cause) ?? cause}.`;
  const fix = 'Run the agent as root with CAP_NET_ADMIN where /proc/sys is writable, or set it yourself.';
  return new TsflannelError(refuse('sysctl-refused', EXIT.failed, text, fix), { cause });
}
