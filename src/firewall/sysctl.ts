/**
 * The kernel settings that forwarding between containers of different hosts needs: forwarding itself, and a reverse
 * path filter that is not strict where paths may change on one side first. Says which ones have to change, and never
 * touches another. A value that somebody else has set since is theirs and stays.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { EXIT, refuse, TsflannelError } from '../errors.ts';

export const FORWARDING = 'net/ipv4/ip_forward';
/** Never written. */
export const BOOT_ID = 'kernel/random/boot_id';

/** Loose: the source must be reachable, by whatever interface. */
const LOOSE = '2';

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

export async function forwardingChange(sysctls: Sysctls): Promise<readonly SysctlChange[]> {
  const forwarding = await sysctls.read(FORWARDING);
  return forwarding === '0' ? [{ key: FORWARDING, from: forwarding, to: '1' }] : [];
}

/** The kernel takes the greater of the interface's value and the one for all; strict is 1. */
export async function reversePathChanges(
  sysctls: Sysctls,
  ifaces: readonly string[],
): Promise<readonly SysctlChange[]> {
  const all = await sysctls.read(reversePathFilter('all'));
  const changes: SysctlChange[] = [];
  for (const iface of ifaces) {
    const key = reversePathFilter(iface);
    const own = await sysctls.read(key);
    if (own !== null && Math.max(Number(all), Number(own)) === 1) changes.push({ key, from: own, to: LOOSE });
  }
  return changes;
}

/** Back to the old values, where ours is still in place. */
export async function restoreSysctls(sysctls: Sysctls, old: Readonly<Record<string, string>>): Promise<void> {
  for (const [key, value] of Object.entries(old)) {
    const ours = key === FORWARDING ? '1' : LOOSE;
    if ((await sysctls.read(key)) === ours) await sysctls.write(key, value);
  }
}

function reversePathFilter(iface: string): string {
  return `net/ipv4/conf/${iface}/rp_filter`;
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
