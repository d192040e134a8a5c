/**
 * One AF_NETLINK socket, of the route family or of netfilter's. The kernel answers within send(), so a caller sends and
 * then receives until it has what it asked for, without ever waiting. Sockets that only listen say when something came
 * (sys/sigio.ts).
 *
 * A receive overflow is an ordinary answer here (`overflow`), never an error that ends the process.
 */
import { constants } from 'node:os';
import { readU32, writeU16, writeU32 } from 'netlink/dist/structs.js';
import * as libc from '../sys/libc.ts';
import { listenForSigio } from '../sys/sigio.ts';
import { errnoError, NetlinkError } from './errors.ts';

const AF_NETLINK = 16;
/** Who on the kernel's side is spoken to. */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const SOCKADDR_BYTES = 12;

/** The kernel fills at most 32 KiB of a dump into one datagram. */
const DATAGRAM_BYTES_MAX = 64 << 10;
/** Room for the events of some ten thousand changes while this process is busy; the kernel counts 0.8 kB for each, and
 *  doubles what is asked for. */
const RECEIVE_BUFFER_BYTES = 4 << 20;

/** `again`: nothing more for now. `overflow`: the kernel had to drop something. */
export type Received = Buffer | 'again' | 'overflow';

export class NetlinkSocket {
  /** What the kernel stamps on the events that this socket causes. */
  readonly portId: number;
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTES_MAX);
  readonly #sender = Buffer.alloc(SOCKADDR_BYTES);
  /** In and out, always the same. */
  readonly #senderLength: [number] = [SOCKADDR_BYTES];
  #stopListening: (() => void) | null = null;
  #closed = false;

  private constructor(fd: number, portId: number) {
    this.#fd = fd;
    this.portId = portId;
  }

  /** Throws a NetlinkError. */
  static open(protocol: number = NETLINK_ROUTE): NetlinkSocket {
    const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0) throw errnoError(libc.errno(), 'open a netlink socket');
    try {
      const address = Buffer.alloc(SOCKADDR_BYTES);
      writeU16.call(address, AF_NETLINK);
      check(libc.bind(fd, address, SOCKADDR_BYTES), 'bind a netlink socket');
      check(libc.getsockname(fd, address, [SOCKADDR_BYTES]), 'name a netlink socket');
      // Without CAP_NET_ADMIN only the smaller limit of the host is to be had.
      if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES) < 0)
        check(setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES), 'size a netlink socket');
      for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK])
        check(setOption(fd, SOL_NETLINK, option, 1), 'set up a netlink socket');
      return new NetlinkSocket(fd, readU32.call(address, 4));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /** Throws a NetlinkError. */
  join(group: number): void {
    check(setOption(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group), 'listen to kernel events');
  }

  /** Has the kernel keep back what the program says, from now on. Throws a NetlinkError. */
  filter(program: Buffer): void {
    check(libc.attachFilter(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, program), 'filter kernel events');
  }

  /** Throws a NetlinkError. */
  send(data: Buffer, op: string): void {
    if (libc.send(this.#fd, data, data.length, 0) < 0) throw errnoError(libc.errno(), op);
  }

  /** One datagram of the kernel's, valid until the next call. Throws a NetlinkError. */
  receive(op: string): Received {
    for (;;) {
      const length = libc.recvfrom(
        this.#fd,
        this.#buffer,
        this.#buffer.length,
        MSG_TRUNC,
        this.#sender,
        this.#senderLength,
      );
      if (length < 0) {
        const errno = libc.errno();
        if (errno === constants.errno.EAGAIN) return 'again';
        if (errno === constants.errno.ENOBUFS) return 'overflow';
        if (errno === constants.errno.EINTR) continue;
        throw errnoError(errno, op);
      }
      // Other processes can send here too; only the kernel is port 0.
      if (readU32.call(this.#sender, 4) !== 0) continue;
      if (length > this.#buffer.length)
        throw new NetlinkError('EMSGSIZE', op, `an answer of ${length} bytes is longer than any we know`);
      return this.#buffer.subarray(0, length);
    }
  }

  /** Calls back after something may have arrived; the listener receives until `again`. Throws a NetlinkError. */
  listen(onReadable: () => void): void {
    this.#stopListening = listenForSigio(this.#fd, onReadable);
    if (this.#stopListening === null) throw errnoError(libc.errno(), 'ask for SIGIO');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening?.();
    libc.close(this.#fd);
  }
}

function setOption(fd: number, level: number, option: number, value: number): number {
  const bytes = Buffer.alloc(4);
  writeU32.call(bytes, value);
  return libc.setsockopt(fd, level, option, bytes, bytes.length);
}

function check(result: number, op: string): void {
  if (result < 0) throw errnoError(libc.errno(), op);
}
