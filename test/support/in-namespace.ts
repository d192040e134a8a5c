/**
 * Opens sockets in another network namespace: this thread goes there, opens, and comes back. A socket stays in the
 * namespace it was made in, so a test process can hold the kernels of several hosts at once.
 */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const setns: (fd: number, kind: number) => number = koffi.load(null).func('int setns(int fd, int kind)');
const CLONE_NEWNET = 0x4000_0000;

/** `open` must not wait for anything: whoever ran meanwhile would be in the wrong place. */
export function inNamespace<T>(netns: string, open: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const there = openSync(`/run/netns/${netns}`, 'r');
  try {
    enter(there);
    try {
      return open();
    } finally {
      enter(home);
    }
  } finally {
    closeSync(there);
    closeSync(home);
  }
}

function enter(fd: number): void {
  if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`setns failed with errno ${koffi.errno()}`);
}
