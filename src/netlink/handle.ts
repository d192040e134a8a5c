/**
 * Requests to the kernel: lists, route lookups, and batches of changes. One socket, one exchange at a time (the kernel
 * refuses a second dump on a socket, and answers would mix). The kernel answers within send(), so nothing here waits
 * for it; long work goes in pieces and lets the event loop run in between.
 *
 * A list that changed while it was read is read again, a few times; the answer is whole or there is none. In a batch
 * each error is attributed to its operation, and one that fails does not keep the others back.
 */
import { constants } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseMessages } from 'netlink/dist/structs.js';
import type { ActualRule } from '../dataplane/kernel.ts';
import { type Cidr, cidrFamily } from '../net/cidr.ts';
import { type Family, type Ip, ipBits, ipFamily, ipToBytes } from '../net/ip.ts';
import type { Link } from '../net/link.ts';
import { doneErrno, type Message, MessageWriter, verdict } from './codec.ts';
import { AF, IFLA, NDA, NLM_F, NLMSG, RT_TABLE, RTA, RTEXT_FILTER, RTM, RTM_F, RTN } from './constants.ts';
import { errnoError, malformed, NetlinkError } from './errors.ts';
import {
  ADDRESS_BYTES,
  decodeAddress,
  decodeLink,
  decodeNeighbour,
  decodeRoute,
  decodeRule,
  type IndexedAddress,
  LINK_BYTES,
  NEIGHBOUR_BYTES,
  type NeighbourMessage,
  type RouteMessage,
  RULE_BYTES,
} from './messages.ts';
import { NetlinkSocket } from './socket.ts';
import { mayOverlap, spanOf } from './span.ts';

const DUMP_ATTEMPTS = 5;
/** A pack takes the kernel about half a millisecond, and its errors fit the receive buffer many times over. */
const PACK_MESSAGES_MAX = 256;
const PACK_BYTES_MAX = 64 << 10;

/** One message of a batch. `write` adds the payload behind the header. */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly write: (writer: MessageWriter) => void;
}

/** What to list, and how to read it; undefined entries are left out. */
interface Dump<T> {
  readonly op: string;
  readonly type: number;
  readonly answer: number;
  readonly write: (writer: MessageWriter) => void;
  readonly decode: (data: Buffer) => T | null;
}

export class NetlinkHandle {
  readonly #socket: NetlinkSocket;
  readonly #writer = new MessageWriter();
  /** What the last list of our routes said, message by message: a resync lists the same ones again, byte for byte, and
   *  looking one up costs a tenth of reading it. */
  readonly #known = new Map<Family, ReadonlyMap<string, RouteMessage | null>>();
  #seq = 0;
  /** The end of the exchange that was asked for last. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the network namespace of the calling thread. Throws a NetlinkError. */
  static open(): NetlinkHandle {
    return new NetlinkHandle(NetlinkSocket.open());
  }

  /** Events that carry it are of our own doing. */
  get portId(): number {
    return this.#socket.portId;
  }

  close(): void {
    this.#socket.close();
  }

  links(): Promise<readonly Link[]> {
    return this.#list({
      op: 'list links',
      type: RTM.getLink,
      answer: RTM.newLink,
      write: (writer) => {
        writer.zeros(LINK_BYTES);
        writer.attributeU32(IFLA.extMask, RTEXT_FILTER.skipStats);
      },
      decode: decodeLink,
    });
  }

  addresses(): Promise<readonly IndexedAddress[]> {
    return this.#list({
      op: 'list addresses',
      type: RTM.getAddress,
      answer: RTM.newAddress,
      write: (writer) => writer.zeros(ADDRESS_BYTES),
      decode: decodeAddress,
    });
  }

  /** Of one protocol, in all tables. */
  async routesOf(family: Family, protocol: number): Promise<readonly RouteMessage[]> {
    const known = this.#known.get(family);
    const seen = new Map<string, RouteMessage | null>();
    const routes = await this.#routes(family, { protocol }, (data) => {
      const key = data.toString('latin1');
      const route = known?.get(key) ?? decodeRoute(data);
      seen.set(key, route);
      // A kernel that does not filter lists more.
      return route?.protocol === protocol ? route : null;
    });
    this.#known.set(family, seen);
    return routes;
  }

  /** Of a table, those of a type. */
  routesIn(table: number, type: number): Promise<readonly RouteMessage[]> {
    return this.#routes(4, { table, type }, (data) => {
      const route = decodeRoute(data);
      return route?.table === table && route.type === type ? route : null;
    });
  }

  /** Those of the main table whose destination may overlap `network`, whoever made them. */
  mainRoutes(network: Cidr): Promise<readonly RouteMessage[]> {
    const span = spanOf(network);
    return this.#routes(cidrFamily(network), { table: RT_TABLE.main }, (data) =>
      mayOverlap(span, data) ? decodeRoute(data) : null,
    );
  }

  /** Those of the main table that match everything. */
  defaultRoutes(family: Family): Promise<readonly RouteMessage[]> {
    return this.#routes(family, { table: RT_TABLE.main }, (data) =>
      data[1] === 0 ? decodeRoute(data) : null,
    );
  }

  rules(family: Family): Promise<readonly ActualRule[]> {
    return this.#list({
      op: 'list rules',
      type: RTM.getRule,
      answer: RTM.newRule,
      write: (writer) => {
        writer.u8x4(addressFamily(family), 0, 0, 0);
        writer.zeros(RULE_BYTES - 4);
      },
      decode: (data) => {
        const rule = decodeRule(data);
        return rule?.family === family ? rule : null;
      },
    });
  }

  /** ARP and NDP entries of one interface. */
  neighbours(index: number): Promise<readonly NeighbourMessage[]> {
    return this.#neighbours('list neighbours', AF.unspec, index);
  }

  /** Forwarding entries of one interface. */
  fdb(index: number): Promise<readonly NeighbourMessage[]> {
    return this.#neighbours('list FDB entries', AF.bridge, index);
  }

  /** The way a packet to `ip` would take now; null where none leads there. */
  async lookup(ip: Ip): Promise<RouteMessage | null> {
    const [answer = null] = await this.#alone('look up a way', () => this.#lookupPack([ip], () => 0));
    return answer;
  }

  /** The entries of the tables that packets to these addresses would meet now, in this order. */
  async match(ips: readonly Ip[]): Promise<readonly (RouteMessage | null)[]> {
    const found: (RouteMessage | null)[] = [];
    for (let done = 0; done < ips.length; done += PACK_MESSAGES_MAX) {
      if (done > 0) await nextTurn();
      const pack = ips.slice(done, done + PACK_MESSAGES_MAX);
      found.push(...(await this.#alone('match routes', () => this.#lookupPack(pack, matchFlags))));
    }
    return found;
  }

  /** In order; the errors of those that failed, by their place in `requests`. */
  async change(requests: readonly Request[]): Promise<ReadonlyMap<number, NetlinkError>> {
    const errors = new Map<number, NetlinkError>();
    for (let done = 0; done < requests.length; ) {
      const first = done;
      done = await this.#alone('change', () => this.#changePack(requests, first, errors));
      if (done < requests.length) await nextTurn();
    }
    return errors;
  }

  #routes(
    family: Family,
    only: { readonly table?: number; readonly protocol?: number; readonly type?: number },
    decode: (data: Buffer) => RouteMessage | null,
  ): Promise<readonly RouteMessage[]> {
    const inet = addressFamily(family);
    return this.#list({
      op: 'list routes',
      type: RTM.getRoute,
      answer: RTM.newRoute,
      write: (writer) => {
        writer.u8x4(inet, 0, 0, 0);
        writer.u8x4(0, only.protocol ?? 0, 0, only.type ?? 0);
        writer.u32(0);
        if (only.table !== undefined) writer.attributeU32(RTA.table, only.table);
      },
      // A kernel that does not know the family lists all others.
      decode: (data) => (data[0] === inet ? decode(data) : null),
    });
  }

  #lookupPack(ips: readonly Ip[], flagsOf: (family: Family) => number): readonly (RouteMessage | null)[] {
    const op = ips.length === 1 ? `look up the way to ${ips[0]}` : 'look up ways';
    this.#writer.clear();
    const firstSeq = this.#seq + 1;
    for (const ip of ips) {
      const family = ipFamily(ip);
      this.#writer.begin(RTM.getRoute, NLM_F.request, ++this.#seq);
      this.#writer.u8x4(addressFamily(family), ipBits(family), 0, 0);
      this.#writer.u32(0);
      this.#writer.u32(flagsOf(family));
      this.#writer.attribute(RTA.dst, ipToBytes(ip));
      this.#writer.end();
    }
    this.#socket.send(this.#writer.bytes(), op);
    const answers = new Map<number, RouteMessage | null>();
    while (answers.size < ips.length)
      for (const message of this.#messages(op, firstSeq)) {
        if (message.type === RTM.newRoute) answers.set(message.seq, wayOf(decodeRoute(message.data)));
        if (message.type !== NLMSG.error) continue;
        const { errno, text } = verdict(message);
        if (!NO_WAY.has(errno)) throw errnoError(errno, op, text);
        answers.set(message.seq, null);
      }
    return ips.map((_, place) => answers.get(firstSeq + place) ?? null);
  }

  #neighbours(op: string, family: number, index: number): Promise<readonly NeighbourMessage[]> {
    return this.#list({
      op,
      type: RTM.getNeighbour,
      answer: RTM.newNeighbour,
      write: (writer) => {
        writer.u8x4(family, 0, 0, 0);
        writer.zeros(NEIGHBOUR_BYTES - 4);
        writer.attributeU32(NDA.ifindex, index);
      },
      decode: (data) => {
        const neighbour = decodeNeighbour(data);
        return neighbour.index === index ? neighbour : null;
      },
    });
  }

  #list<T>(dump: Dump<T>): Promise<readonly T[]> {
    return this.#alone(dump.op, async () => {
      for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
        const entries = await this.#listOnce(dump);
        if (entries !== 'interrupted') return entries;
      }
      throw new NetlinkError('EINTR', dump.op, 'the kernel kept changing it while it was read');
    });
  }

  async #listOnce<T>({ op, type, answer, write, decode }: Dump<T>): Promise<readonly T[] | 'interrupted'> {
    const seq = this.#begin(type, NLM_F.request | NLM_F.dump);
    write(this.#writer);
    this.#writer.end();
    this.#socket.send(this.#writer.bytes(), op);
    const entries: T[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#messages(op, seq)) {
        interrupted ||= (message.flags & NLM_F.dumpInterrupted) !== 0;
        if (message.type === NLMSG.error) {
          const { errno, text } = verdict(message);
          throw errnoError(errno, op, text);
        }
        if (message.type === NLMSG.done) {
          if (doneErrno(message) !== 0) throw errnoError(doneErrno(message), op);
          return interrupted ? 'interrupted' : entries;
        }
        const entry = message.type === answer ? decode(message.data) : null;
        if (entry !== null) entries.push(entry);
      }
      await nextTurn();
    }
  }

  /** Returns the place of the first request that is not in this pack. */
  #changePack(requests: readonly Request[], first: number, errors: Map<number, NetlinkError>): number {
    this.#writer.clear();
    const firstSeq = this.#seq + 1;
    let next = first;
    for (; next < requests.length && next < first + PACK_MESSAGES_MAX; next++) {
      const request = requests[next];
      if (request === undefined || this.#writer.length > PACK_BYTES_MAX) break;
      // Only errors are answered, and the last one in any case: then all before it have been.
      this.#writer.begin(request.type, NLM_F.request | request.flags, ++this.#seq);
      request.write(this.#writer);
      this.#writer.end();
    }
    this.#writer.flag(NLM_F.ack);
    this.#socket.send(this.#writer.bytes(), 'change');
    const lastSeq = this.#seq;
    for (let answered = false; !answered; ) {
      for (const message of this.#messages('change', firstSeq)) {
        if (message.type !== NLMSG.error) continue;
        const place = first + message.seq - firstSeq;
        const { errno, text } = verdict(message);
        if (errno !== 0) errors.set(place, errnoError(errno, 'change', text));
        answered ||= message.seq === lastSeq;
      }
    }
    return next;
  }

  #begin(type: number, flags: number): number {
    this.#writer.clear();
    this.#writer.begin(type, flags, ++this.#seq);
    return this.#seq;
  }

  /** The next datagram's messages, those of earlier exchanges left out. */
  #messages(op: string, firstSeq: number): readonly Message[] {
    const datagram = this.#socket.receive(op);
    if (datagram === 'again') throw new NetlinkError('EAGAIN', op, 'the kernel gave no answer');
    if (datagram === 'overflow') throw errnoError(ENOBUFS, op, 'the answer did not fit the buffer');
    return parseMessages(datagram).filter(({ seq }) => seq >= firstSeq && seq <= this.#seq);
  }

  /** Runs when every exchange that was asked for before has ended. */
  #alone<T>(op: string, exchange: () => T | Promise<T>): Promise<T> {
    const result = this.#tail.then(async () => {
      try {
        return await exchange();
      } catch (error) {
        this.#drain();
        throw error instanceof NetlinkError ? error : malformed(op, error);
      }
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** What an exchange that failed halfway left behind; the kernel would refuse the next list until then. */
  #drain(): void {
    try {
      while (this.#socket.receive('drain') !== 'again');
    } catch {
      // The next exchange meets the same error and reports it.
    }
  }
}

/** IPv6 tells the table of a match in any case, and refuses to be asked for it. */
function matchFlags(family: Family): number {
  return family === 4 ? RTM_F.lookupTable | RTM_F.fibMatch : RTM_F.fibMatch;
}

function wayOf(route: RouteMessage | null): RouteMessage | null {
  return route === null || LEADS_NOWHERE.has(route.type) ? null : route;
}

/** What IPv6 answers where IPv4 gives an error. */
const LEADS_NOWHERE: ReadonlySet<number> = new Set([RTN.blackhole, RTN.unreachable, RTN.prohibit, RTN.throw]);
/** ENETUNREACH: no route. The others: routes that lead nowhere, on purpose (unreachable, prohibit, blackhole). */
const { ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ENOBUFS } = constants.errno;
const NO_WAY: ReadonlySet<number> = new Set([ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL]);

function addressFamily(family: Family): number {
  return family === 4 ? AF.inet : AF.inet6;
}
