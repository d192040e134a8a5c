/**
 * What this process gives to the network, counted where node takes it over and not by the code that is measured: from
 * the import of this file on.
 */
import { Socket as DatagramSocket } from 'node:dgram';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export interface Traffic {
  readonly datagrams: number;
  /** Payloads, the seal included. */
  readonly datagramBytes: number;
  /** Before TLS. */
  readonly streamBytes: number;
}

/** Of IPv4 and UDP. */
export const DATAGRAM_HEADER_BYTES = 28;

let datagrams = 0;
let datagramBytes = 0;
let streamBytes = 0;

DatagramSocket.prototype.send = new Proxy(DatagramSocket.prototype.send, {
  apply: (send, socket, parameters: [Uint8Array]) => {
    datagrams += 1;
    datagramBytes += parameters[0].length;
    Reflect.apply(send, socket, parameters);
  },
});

// Not TLSSocket's: connect() puts this one in its place.
Socket.prototype.write = new Proxy(Socket.prototype.write, {
  apply: (write, socket, parameters: [Uint8Array]) => {
    if (socket instanceof TLSSocket) streamBytes += parameters[0].length;
    return Reflect.apply(write, socket, parameters);
  },
});

export function traffic(): Traffic {
  return { datagrams, datagramBytes, streamBytes };
}
