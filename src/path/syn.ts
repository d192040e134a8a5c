/**
 * One TCP SYN that only the other kernel answers: to a port where nobody listens. It goes through the host's own TCP,
 * because only packets of that kind leave their checksum to the device.
 */
import { connect } from 'node:net';
import type { Ip } from '../net/ip.ts';

/** The kernel repeats the SYN after one second; this is time for both. */
const SILENCE_MS = 2_500;
/** Above the ports that kernels give out and programs choose. */
const PORT_MIN = 61_001;
const PORT_MAX = 65_535;

/** Whether `to` answered with a reset, or with anything else of TCP. Never rejects; an aborted one was not answered. */
export async function answersSyn(from: Ip, to: Ip, signal: AbortSignal): Promise<boolean> {
  const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
  return new Promise((resolve) => {
    const socket = connect({ host: to, port, localAddress: from });
    const end = (answered: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(answered);
    };
    const abort = (): void => end(false);
    const timer = setTimeout(abort, SILENCE_MS);
    signal.addEventListener('abort', abort);
    socket.once('connect', () => end(true));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'));
    if (signal.aborted) abort();
  });
}
