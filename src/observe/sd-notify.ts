/**
 * Tells systemd (`Type=notify`) where the agent stands: one datagram to the socket that NOTIFY_SOCKET names, a path or
 * an abstract name. Node has no unix datagram sockets, so libc's are called. Outside systemd it does nothing.
 */

export type NotifyState = 'READY=1' | 'STOPPING=1';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** sun_path of sockaddr_un. */
const PATH_BYTES_MAX = 108;

/** Resolves to whether somebody was told. Throws when NOTIFY_SOCKET is there and cannot be reached. */
export async function notifySystemd(
  state: NotifyState,
  socketName: string | undefined = process.env['NOTIFY_SOCKET'],
): Promise<boolean> {
  if (socketName === undefined || socketName === '') return false;
  const address = unixAddress(socketName);
  const { default: koffi } = await import('koffi');
  const libc = koffi.load('libc.so.6');
  const fail = (call: string): never => {
    throw new Error(`${call} for NOTIFY_SOCKET ${socketName} failed with errno ${koffi.errno()}`);
  };
  const fd: number = libc.func('int socket(int, int, int)')(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return fail('socket');
  try {
    const message = Buffer.from(state);
    const sendto = libc.func('long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
    const sent: number = sendto(fd, message, message.length, MSG_NOSIGNAL, address, address.length);
    if (sent !== message.length) return fail('sendto');
    return true;
  } finally {
    libc.func('int close(int)')(fd);
  }
}

/** struct sockaddr_un; `@name` is an abstract name, which starts with a zero byte and has no end mark. */
function unixAddress(name: string): Buffer {
  const path = name.startsWith('@') ? Buffer.from(`\0${name.slice(1)}`) : Buffer.from(`${name}\0`);
  if (path.length > PATH_BYTES_MAX) throw new Error(`NOTIFY_SOCKET is too long: ${name}`);
  return Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), path]);
}
