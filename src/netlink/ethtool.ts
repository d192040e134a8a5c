/**
 * Whether a device computes the checksums of what it sends itself or leaves them to the NIC below
 * (`tx-checksum-ip-generic`), read and set by ethtool's ioctl. Where the device is not there or knows no such
 * feature, reading gives null and setting false.
 */
import { readU32, writeU32 } from 'netlink/dist/structs.js';
import * as libc from '../sys/libc.ts';
import { errnoError } from './errors.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_STXCSUM = 0x17;
const IFNAMSIZ = 16;

export class Ethtool implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** In the network namespace of the calling thread. Throws a NetlinkError. */
  static open(): Ethtool {
    const fd = libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
    if (fd < 0) throw errnoError(libc.errno(), 'open a socket for ethtool');
    return new Ethtool(fd);
  }

  checksumOffload(device: string): boolean | null {
    const value = this.#call(device, ETHTOOL_GTXCSUM, 0);
    return value === null ? null : value !== 0;
  }

  /** Whether it is so now. */
  setChecksumOffload(device: string, on: boolean): boolean {
    this.#call(device, ETHTOOL_STXCSUM, on ? 1 : 0);
    return this.checksumOffload(device) === on;
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }

  #call(device: string, command: number, value: number): number | null {
    const name = Buffer.alloc(IFNAMSIZ);
    if (name.write(device) !== Buffer.byteLength(device) || name[IFNAMSIZ - 1] !== 0) return null;
    const data = Buffer.alloc(8);
    writeU32.call(data, command);
    writeU32.call(data, value, 4);
    return libc.interfaceIoctl(this.#fd, SIOCETHTOOL, name, data) < 0 ? null : readU32.call(data, 4);
  }
}
