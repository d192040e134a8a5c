/** Whether this process may program the network: asked before anything is written, so that the answer is one sentence. */
import { readFile } from 'node:fs/promises';
import { EXIT, refuse, TsflannelError } from '../errors.ts';

/** capability.h: the number of the bit in CapEff. */
const CAP_NET_ADMIN = 12n;

/** Throws TsflannelError (exit 1) without CAP_NET_ADMIN. */
export async function requireNetworkAdmin(): Promise<void> {
  if (hasCapability(await readFile('/proc/self/status', 'utf8'), CAP_NET_ADMIN)) return;
  throw new TsflannelError(
    refuse(
      'no-capability',
      EXIT.failed,
      'This process may not change the network: it has no CAP_NET_ADMIN.',
      'Run it as root, or as the service that deploy/tsflannel.service describes.',
    ),
  );
}

/** `status` is the text of /proc/PID/status (proc(5)). Pure. */
export function hasCapability(status: string, bit: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> bit) & 1n) === 1n;
}
