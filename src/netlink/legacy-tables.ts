/**
 * The tables of iptables-legacy as the kernel holds them, for those who only want to know whether they have changed:
 * nobody tells of that. Reads with getsockopt, without a process and without making a table that is not there. What a
 * rule means is not known here; counters are left out, everything else counts.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { readU16, readU32, writeU32 } from 'netlink/dist/structs.js';
import type { Family } from '../net/ip.ts';
import * as libc from '../sys/libc.ts';
import { errnoError } from './errors.ts';

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_RAW = 255;
/** IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES; ip6tables has the same numbers. */
const GET_INFO = 64;
const GET_ENTRIES = 65;
const NAME_BYTES = 32;
const INFO_BYTES = 84;
const INFO_SIZE_OFFSET = 80;
/** Name, size, and what aligns the rules that follow. */
const ENTRIES_HEADER_BYTES = 40;
const COUNTERS_BYTES = 16;
/** A hundred thousand rules; more than that is compared by its size alone. */
const ENTRIES_BYTES_MAX: number = 32 << 20;
const NAMES_BYTES_MAX = 4_096;

/** Where they differ: the head of a rule holds addresses. */
const FAMILIES = {
  4: { domain: 2, level: 0, names: '/proc/net/ip_tables_names', offsets: 88, counters: 96 },
  6: { domain: 10, level: 41, names: '/proc/net/ip6_tables_names', offsets: 140, counters: 152 },
} as const;

export class LegacyTables {
  readonly #family: (typeof FAMILIES)[Family];
  readonly #fd: number;
  #names: number | null = null;

  private constructor(family: Family, fd: number) {
    this.#family = FAMILIES[family];
    this.#fd = fd;
  }

  /** In the network namespace of the calling thread. Null where this kernel has no such family. */
  static open(family: Family): LegacyTables | null {
    const fd = libc.socket(FAMILIES[family].domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) return null;
    const tables = new LegacyTables(family, fd);
    tables.#openNames();
    return tables;
  }

  /** The same text as long as nothing has changed. Throws a NetlinkError. */
  digest(): string {
    return this.#tables()
      .map((name) => `${name} ${this.#digestOf(name)}`)
      .join('\n');
  }

  close(): void {
    libc.close(this.#fd);
    if (this.#names !== null) closeSync(this.#names);
  }

  /** The file belongs to the namespace it was opened in, and comes with the first use of iptables-legacy. */
  #openNames(): void {
    try {
      this.#names = openSync(this.#family.names, 'r');
    } catch {
      this.#names = null;
    }
  }

  #tables(): readonly string[] {
    if (this.#names === null) this.#openNames();
    if (this.#names === null) return [];
    const bytes = Buffer.alloc(NAMES_BYTES_MAX);
    const length = readSync(this.#names, bytes, 0, bytes.length, 0);
    return bytes
      .toString('latin1', 0, length)
      .split('\n')
      .filter((name) => name === 'filter' || name === 'raw')
      .sort();
  }

  #digestOf(name: string): string {
    const info = this.#ask(GET_INFO, name, INFO_BYTES);
    const size = readU32.call(info, INFO_SIZE_OFFSET);
    const hash = createHash('sha1').update(info);
    if (size > ENTRIES_BYTES_MAX) return hash.digest('hex');
    const entries = this.#ask(GET_ENTRIES, name, ENTRIES_HEADER_BYTES + size, size);
    clearCounters(entries, this.#family);
    return hash.update(entries).digest('hex');
  }

  #ask(option: number, name: string, bytes: number, size = 0): Buffer {
    const value = Buffer.alloc(bytes);
    value.write(name, 'latin1');
    if (size > 0) writeU32.call(value, size, NAME_BYTES);
    if (libc.getsockopt(this.#fd, this.#family.level, option, value, [bytes]) < 0)
      throw errnoError(libc.errno(), `read the table ${name}`);
    return value;
  }
}

function clearCounters(entries: Buffer, { offsets, counters }: (typeof FAMILIES)[Family]): void {
  for (let at = ENTRIES_HEADER_BYTES; at + counters + COUNTERS_BYTES <= entries.length; ) {
    entries.fill(0, at + counters, at + counters + COUNTERS_BYTES);
    const next = readU16.call(entries, at + offsets + 2);
    if (next === 0) return;
    at += next;
  }
}
