/**
 * One raw ICMP socket: the probes of one family over one kind of path, marked so that a rule leads them there, never
 * fragmented. The kernel keeps back whatever is no answer to this socket's identifier, so that other people's pings
 * cost nothing. It does not know which probes are outstanding.
 */
import { constants } from 'node:os';
import { type Family, type Ip, ipFamily, ipFromBytes, ipToBytes } from '../net/ip.ts';
import * as libc from '../sys/libc.ts';
import { listenForSigio } from '../sys/sigio.ts';
import { ECHO_REPLY, IDENTIFIER_OFFSET } from './echo.ts';

const AF: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };
const IPPROTO_ICMP: Readonly<Record<Family, number>> = { 4: 1, 6: 58 };
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_MARK = 36;
const SOL_IP: Readonly<Record<Family, number>> = { 4: 0, 6: 41 };
/** IP_FREEBIND, IPV6_FREEBIND: the address may come after the socket. */
const FREEBIND: Readonly<Record<Family, number>> = { 4: 15, 6: 78 };
/** IP_MTU_DISCOVER, IPV6_MTU_DISCOVER. */
const MTU_DISCOVER: Readonly<Record<Family, number>> = { 4: 10, 6: 23 };
/** IP_PMTUDISC_PROBE: never fragment, and heed no MTU but the device's. */
const PMTUDISC_PROBE = 3;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const SOCKADDR_BYTES: Readonly<Record<Family, number>> = { 4: 16, 6: 28 };
const SOCKADDR_IP_OFFSET: Readonly<Record<Family, number>> = { 4: 4, 6: 8 };
/** No link that is known carries more. */
const DATAGRAM_BYTES_MAX = 64 << 10;

export interface ProbeSocketOptions {
  /** Own subnet's base, what the probes come from. */
  readonly source: Ip;
  readonly mark: number;
  readonly identifier: number;
  /** Something may have arrived; the listener receives until null. */
  readonly onReadable: () => void;
}

export class ProbeSocket {
  readonly family: Family;
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTES_MAX);
  readonly #sender: Buffer;
  readonly #senderLength: [number];
  readonly #stopListening: () => void;
  #closed = false;

  private constructor(family: Family, fd: number, stopListening: () => void) {
    this.family = family;
    this.#fd = fd;
    this.#sender = Buffer.alloc(SOCKADDR_BYTES[family]);
    this.#senderLength = [SOCKADDR_BYTES[family]];
    this.#stopListening = stopListening;
  }

  /** In the network namespace of the calling thread. Null where the kernel refuses: no right to, or no such family. */
  static open({ source, mark, identifier, onReadable }: ProbeSocketOptions): ProbeSocket | null {
    const family = ipFamily(source);
    const fd = libc.socket(AF[family], SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP[family]);
    if (fd < 0) return null;
    const filter = replyFilter(family, identifier);
    const isSetUp =
      setOption(fd, SOL_SOCKET, SO_MARK, mark) &&
      setOption(fd, SOL_IP[family], FREEBIND[family], 1) &&
      setOption(fd, SOL_IP[family], MTU_DISCOVER[family], PMTUDISC_PROBE) &&
      // Spares the kernel a copy of each other message before it looks into it.
      (family === 6 || setOption(fd, SOL_RAW, ICMP_FILTER, ~(1 << ECHO_REPLY[4]))) &&
      libc.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter) >= 0 &&
      libc.bind(fd, socketAddress(source), SOCKADDR_BYTES[family]) >= 0;
    const stopListening = isSetUp ? listenForSigio(fd, onReadable) : null;
    if (stopListening === null) {
      libc.close(fd);
      return null;
    }
    return new ProbeSocket(family, fd, stopListening);
  }

  /** Whether it left. Where it did not, there is no way now, which is what an answer that never comes says as well. */
  send(to: Ip, message: Buffer): boolean {
    return libc.sendto(this.#fd, message, message.length, 0, socketAddress(to), this.#sender.length) >= 0;
  }

  /** The next datagram, valid until the next call; null when there is none. */
  receive(): { readonly from: Ip; readonly datagram: Buffer } | null {
    for (;;) {
      const { length } = this.#buffer;
      const got = libc.recvfrom(this.#fd, this.#buffer, length, 0, this.#sender, this.#senderLength);
      if (got < 0) {
        // An ICMP error about a probe is reported once; what lies behind it is still there.
        if (RETRY.has(libc.errno())) continue;
        return null;
      }
      const start = SOCKADDR_IP_OFFSET[this.family];
      const from = ipFromBytes(this.#sender.subarray(start, start + (this.family === 4 ? 4 : 16)));
      return { from, datagram: this.#buffer.subarray(0, got) };
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    libc.close(this.#fd);
  }
}

const { EINTR, EHOSTUNREACH, ENETUNREACH, ECONNREFUSED, EMSGSIZE } = constants.errno;
const RETRY: ReadonlySet<number> = new Set([EINTR, EHOSTUNREACH, ENETUNREACH, ECONNREFUSED, EMSGSIZE]);

/** sockaddr_in or sockaddr_in6; the family is in host order. */
function socketAddress(ip: Ip): Buffer {
  const family = ipFamily(ip);
  const address = Buffer.alloc(SOCKADDR_BYTES[family]);
  Buffer.from(Uint16Array.of(AF[family]).buffer).copy(address);
  address.set(ipToBytes(ip), SOCKADDR_IP_OFFSET[family]);
  return address;
}

const BPF_LOAD_BYTE = 0x30;
const BPF_LOAD_HALF = 0x28;
const BPF_LOAD_BYTE_INDEXED = 0x50;
const BPF_LOAD_HALF_INDEXED = 0x48;
const BPF_INDEX_IP_HEADER = 0xb1;
const BPF_SKIP_UNLESS_EQUAL = 0x15;
const BPF_RETURN = 0x06;

/** Answers with this identifier alone. A raw socket of IPv4 sees the IP header first, one of IPv6 does not. */
function replyFilter(family: Family, identifier: number): Buffer {
  const v4 = family === 4;
  return Buffer.concat([
    ...(v4 ? [instruction(BPF_INDEX_IP_HEADER, 0, 0)] : []),
    instruction(v4 ? BPF_LOAD_BYTE_INDEXED : BPF_LOAD_BYTE, 0, 0),
    instruction(BPF_SKIP_UNLESS_EQUAL, 3, ECHO_REPLY[family]),
    instruction(v4 ? BPF_LOAD_HALF_INDEXED : BPF_LOAD_HALF, 0, IDENTIFIER_OFFSET),
    instruction(BPF_SKIP_UNLESS_EQUAL, 1, identifier),
    instruction(BPF_RETURN, 0, 0xffff_ffff),
    instruction(BPF_RETURN, 0, 0),
  ]);
}

/** One of the classic packet filter's; `skip` counts the instructions that are left out where the test fails. */
function instruction(code: number, skip: number, value: number): Buffer {
  return Buffer.concat([
    Buffer.from(Uint16Array.of(code).buffer),
    Buffer.of(0, skip),
    Buffer.from(Uint32Array.of(value).buffer),
  ]);
}

function setOption(fd: number, level: number, option: number, value: number): boolean {
  const bytes = Buffer.from(Uint32Array.of(value).buffer);
  return libc.setsockopt(fd, level, option, bytes, bytes.length) >= 0;
}
