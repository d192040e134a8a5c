/**
 * What this process gives to the network, counted where node takes it over and not by the code that is measured: from
 * the import of this file on.
 */
import { Socket } from 'node:dgram';
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

Socket.prototype.send = new Proxy(Socket.prototype.send, {
  apply: (send, socket, parameters: [Uint8Array]) => {
    datagrams += 1;
    datagramBytes += parameters[0].length;
    Reflect.apply(send, socket, parameters);
  },
});

TLSSocket.prototype.write = new Proxy(TLSSocket.prototype.write, {
  apply: (write, socket, parameters: [Uint8Array]) => {
    streamBytes += parameters[0].length;
    return Reflect.apply(write, socket, parameters);
  },
});

export function traffic(): Traffic {
  return { datagrams, datagramBytes, streamBytes };
}
