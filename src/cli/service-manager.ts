/**
 * systemd, as far as the command line needs it: whether the agent of this host is a service, and starting and stopping
 * it as one, so that it is not restarted behind the back of `down` or run twice after `init --detach`.
 */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Directories } from './launcher.ts';
import { DEFAULT_DATA_DIR, DEFAULT_RUN_DIR } from './options.ts';

const UNIT = 'tsflannel.service';
/** sd_booted(3): exactly where systemd is the service manager. */
const BOOTED = '/run/systemd/system';

export interface ServiceManager {
  /** systemd runs and has our unit. */
  hasUnit(): Promise<boolean>;
  /** Returns when the unit is ready (`Type=notify`). Throws TsflannelError when it does not become so. */
  enableAndStart(): Promise<void>;
  stop(): Promise<void>;
  disableAndStop(): Promise<void>;
}

export const systemd: ServiceManager = {
  async hasUnit() {
    try {
      await access(BOOTED);
      await systemctl('cat', UNIT);
      return true;
    } catch {
      return false;
    }
  },
  enableAndStart: () => change('start', ['enable', '--now', UNIT]),
  stop: () => change('stop', ['stop', UNIT]),
  disableAndStop: () => change('stop', ['disable', '--now', UNIT]),
};

/** The unit knows only the default directories: an agent elsewhere is none of its business. */
export async function isService(
  services: ServiceManager,
  { dataDir, runDir }: Directories,
): Promise<boolean> {
  return dataDir === DEFAULT_DATA_DIR && runDir === DEFAULT_RUN_DIR && (await services.hasUnit());
}

async function change(verb: string, args: readonly string[]): Promise<void> {
  try {
    await systemctl(...args);
  } catch (cause) {
    const reason = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : String(cause);
    throw new TsflannelError(
      refuse(
        'service',
        EXIT.failed,
        `The service ${UNIT} did not ${verb}: ${reason.split('\n')[0]}.`,
        `See "systemctl status ${UNIT}" and "journalctl -u ${UNIT}".`,
      ),
      { cause },
    );
  }
}

async function systemctl(...args: readonly string[]): Promise<void> {
  await promisify(execFile)('systemctl', [...args]);
}
