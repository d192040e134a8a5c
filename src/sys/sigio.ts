/**
 * Tells when something has come on a socket that Node does not know of: by SIGIO, which needs no thread and keeps no
 * process from ending (a poll in the thread pool does both). One signal serves all sockets, so a listener hears of the
 * others' as well; it reads until there is nothing more.
 */
import * as libc from './libc.ts';

const F_SETFL = 4;
const F_SETOWN = 8;
const O_NONBLOCK = 0o4000;
const O_ASYNC = 0o20000;

/** The handler stays once it is there: a late SIGIO must find it. */
const listeners = new Set<() => void>();

function onSigio(): void {
  for (const listener of [...listeners]) listener();
}

/** The socket does not block from now on. Returns how to stop listening; null, and errno, where the kernel refuses. */
export function listenForSigio(fd: number, onReadable: () => void): (() => void) | null {
  listeners.add(onReadable);
  const stop = (): void => void listeners.delete(onReadable);
  // Before O_ASYNC: a SIGIO without a handler ends the process.
  if (!process.listeners('SIGIO').includes(onSigio)) process.on('SIGIO', onSigio);
  if (libc.fcntl(fd, F_SETOWN, process.pid) >= 0 && libc.fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) >= 0)
    return stop;
  stop();
  return null;
}
