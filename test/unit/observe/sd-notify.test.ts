import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, describe, expect, test } from 'vitest';
import { notifySystemd } from '../../../src/observe/sd-notify.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const uint8_t *, uint32_t)');
const recv = libc.func('long recv(int, _Out_ uint8_t *, size_t, int)');
const close = libc.func('int close(int)');

const directory = mkdtempSync(join(tmpdir(), 'cl-notify-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** As systemd listens: a unix datagram socket of this name. */
function listen(path: Buffer) {
  const fd: number = socket(AF_UNIX, SOCK_DGRAM, 0);
  const address = Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), path]);
  expect(bind(fd, address, address.length)).toBe(0);
  return {
    next(): string {
      const buffer = Buffer.alloc(64);
      const length = Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT));
      return buffer.subarray(0, length).toString();
    },
    [Symbol.dispose]: () => {
      close(fd);
    },
  };
}

describe('sd_notify', () => {
  test('over a path', async () => {
    const path = join(directory, 'notify');
    using systemd = listen(Buffer.from(`${path}\0`));
    expect(await notifySystemd('READY=1', path)).toBe(true);
    expect(systemd.next()).toBe('READY=1');
    await notifySystemd('STOPPING=1', path);
    expect(systemd.next()).toBe('STOPPING=1');
  });

  test('over an abstract name', async () => {
    const name = `cl-notify-${process.pid}`;
    using systemd = listen(Buffer.from(`\0${name}`));
    expect(await notifySystemd('READY=1', `@${name}`)).toBe(true);
    expect(systemd.next()).toBe('READY=1');
  });

  test('outside systemd nothing happens', async () => {
    expect(await notifySystemd('READY=1', undefined)).toBe(false);
    expect(await notifySystemd('READY=1', '')).toBe(false);
  });

  test('a socket that is not there is an error with its name', async () => {
    const path = join(directory, 'gone');
    await expect(notifySystemd('READY=1', path)).rejects.toThrow(`NOTIFY_SOCKET ${path} failed with errno 2`);
    await expect(notifySystemd('READY=1', `/${'x'.repeat(200)}`)).rejects.toThrow('too long');
  });
});
