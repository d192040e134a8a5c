/**
 * Tells of changes in the kernel: links, addresses, routes, neighbours (FDB entries among them) and rules, as far as a
 * filter lets them through. One socket, read on SIGIO; a burst is taken in pieces, so that a flood of foreign changes
 * never holds the event loop. When the kernel had to drop events the listener hears `overflow` and must look for itself; nothing is ever thrown from here.
 */
import { parseMessages, readU32 } from 'netlink/dist/structs.js';
import type { Cidr } from '../net/cidr.ts';
import type { Message } from './codec.ts';
import { RTM, RTNLGRP } from './constants.ts';
import { type EventFilter, eventProgram } from './event-filter.ts';
import { decodeLink, decodeRoute, decodeRule } from './messages.ts';
import { NetlinkSocket } from './socket.ts';

/** About two milliseconds of work. */
const DATAGRAMS_PER_TURN = 500;

/** Interfaces are indexes. */
export type MonitorEvent =
  | { readonly kind: 'link'; readonly index: number; readonly name: string; readonly vxlan: boolean }
  | { readonly kind: 'address' | 'neighbour'; readonly index: number }
  | { readonly kind: 'route'; readonly table: number; readonly protocol: number; readonly dst: Cidr }
  | { readonly kind: 'rule'; readonly protocol: number }
  | { readonly kind: 'overflow' };

const OVERFLOW: MonitorEvent = { kind: 'overflow' };

export class NetlinkMonitor {
  readonly #socket: NetlinkSocket;
  readonly #listener: (event: MonitorEvent) => void;
  #more: NodeJS.Immediate | null = null;

  private constructor(socket: NetlinkSocket, listener: (event: MonitorEvent) => void) {
    this.#socket = socket;
    this.#listener = listener;
  }

  /** In the network namespace of the calling thread. Throws a NetlinkError. */
  static open(filter: EventFilter, listener: (event: MonitorEvent) => void): NetlinkMonitor {
    const socket = NetlinkSocket.open();
    try {
      const monitor = new NetlinkMonitor(socket, listener);
      socket.filter(eventProgram(filter));
      for (const group of Object.values(RTNLGRP)) socket.join(group);
      socket.listen(() => monitor.#drain());
      return monitor;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** From now on. What the kernel kept back before is lost. Throws a NetlinkError. */
  setFilter(filter: EventFilter): void {
    this.#socket.filter(eventProgram(filter));
  }

  close(): void {
    if (this.#more !== null) clearImmediate(this.#more);
    this.#socket.close();
  }

  #drain(): void {
    // The rest of a burst is on its way already.
    if (this.#more !== null) return;
    for (let count = 0; count < DATAGRAMS_PER_TURN; count++) {
      const datagram = this.#receive();
      if (datagram === 'again') return;
      if (datagram === 'overflow') this.#listener(OVERFLOW);
      else for (const event of eventsOf(datagram)) this.#listener(event);
    }
    this.#more = setImmediate(() => {
      this.#more = null;
      this.#drain();
    });
  }

  /** Whatever goes wrong with the socket, the events are lost, and that is what an overflow says. */
  #receive(): Buffer | 'again' | 'overflow' {
    try {
      return this.#socket.receive('read events');
    } catch {
      this.#listener(OVERFLOW);
      return 'again';
    }
  }
}

/** An event that cannot be read may have been any. */
function eventsOf(datagram: Buffer): readonly MonitorEvent[] {
  try {
    return parseMessages(datagram).flatMap((message) => eventOf(message) ?? []);
  } catch {
    return [OVERFLOW];
  }
}

function eventOf({ type, data }: Message): MonitorEvent | null {
  switch (type) {
    case RTM.newLink:
    case RTM.delLink: {
      const { index, name, vxlan } = decodeLink(data);
      return { kind: 'link', index, name, vxlan: vxlan !== null };
    }
    case RTM.newAddress:
    case RTM.delAddress:
      return { kind: 'address', index: readU32.call(data, 4) };
    case RTM.newNeighbour:
    case RTM.delNeighbour:
      return { kind: 'neighbour', index: readU32.call(data, 4) };
    case RTM.newRoute:
    case RTM.delRoute: {
      const route = decodeRoute(data);
      if (route === null) return null;
      return { kind: 'route', table: route.table, protocol: route.protocol, dst: route.dst };
    }
    case RTM.newRule:
    case RTM.delRule:
      return { kind: 'rule', protocol: decodeRule(data)?.protocol ?? 0 };
    default:
      return null;
  }
}
