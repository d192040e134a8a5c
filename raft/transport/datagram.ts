/**
 * A UDP socket that carries frames of keys.ts. It knows no peers: it sends what it is given and reports what came in.
 * Sending never waits and never fails loudly: the network loses datagrams anyway. Addresses are literals.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { RECEIVE_BUFFER_BYTES } from '../limits.ts';
import { canonicalAddress } from './session.ts';

/** Where a datagram came from or goes to. */
export interface DatagramAddress {
  readonly address: string;
  readonly port: number;
}

/** Bytes that the kernel has not taken: more means that the interface does not keep up. */
const SEND_QUEUE_BYTES_MAX = 1 << 20;

export class DatagramSocket {
  /** The frame is valid until the handler returns. */
  onFrame: (frame: Buffer, from: DatagramAddress) => void = () => undefined;
  #socket: Socket | null = null;
  #isIpv6 = false;

  /** Rejects with the errno of the operating system. */
  bind(host: string, port: number): Promise<void> {
    this.#isIpv6 = host.includes(':');
    const socket = createSocket({
      type: this.#isIpv6 ? 'udp6' : 'udp4',
      // Literals need no resolver, and the default one costs each datagram a turn of the event loop.
      lookup: (address, _options, done) => done(null, address, this.#isIpv6 ? 6 : 4),
    });
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        // An ICMP error of some earlier datagram: nothing that Raft does not survive.
        socket.on('error', () => undefined);
        socket.on('message', (frame, from) => this.#receive(frame, from));
        askForReceiveBuffer(socket);
        this.#socket = socket;
        resolve();
      });
    });
  }

  send(frame: Buffer, to: DatagramAddress): void {
    const socket = this.#socket;
    if (socket === null || socket.getSendQueueSize() > SEND_QUEUE_BYTES_MAX) return;
    const address = this.#isIpv6 && isIPv4(to.address) ? `::ffff:${to.address}` : to.address;
    if (this.#isIpv6 === address.includes(':')) socket.send(frame, to.port, address);
  }

  close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    return new Promise((resolve) => {
      if (socket === null) resolve();
      else socket.close(() => resolve());
    });
  }

  #receive(frame: Buffer, from: RemoteInfo): void {
    this.onFrame(frame, { address: canonicalAddress(from.address), port: from.port });
  }
}

/** The kernel clamps it to net.core.rmem_max without an error; a smaller buffer only means more loss in bursts. */
function askForReceiveBuffer(socket: Socket): void {
  if (socket.getRecvBufferSize() < RECEIVE_BUFFER_BYTES) socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
}
