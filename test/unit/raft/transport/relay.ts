/**
 * A middlebox on loopback: one port for TCP and UDP in front of one transport, that records the datagrams it carries
 * and can cut or block either protocol.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Relay implements AsyncDisposable {
  /** Everything that came from the dialling side, oldest first. */
  readonly datagrams: Buffer[] = [];
  /** Everything that came back. */
  readonly answers: Buffer[] = [];
  streams = true;
  /** False: what comes from the dialling side is recorded and lost; the same for what comes back. */
  passesDatagrams = true;
  passesAnswers = true;
  /** True: streams that exist carry nothing any more, and neither side hears that the other has gone. */
  isFrozen = false;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #front: UdpSocket;
  readonly #back: UdpSocket;

  private constructor(server: Server, front: UdpSocket, back: UdpSocket, targetPort: number) {
    this.#server = server;
    this.#front = front;
    this.#back = back;
    this.port = portOf(server);
    let client = 0;
    front.on('message', (frame, from) => {
      client = from.port;
      this.datagrams.push(frame);
      if (this.passesDatagrams) back.send(frame, targetPort, '127.0.0.1');
    });
    back.on('message', (frame) => {
      this.answers.push(frame);
      if (this.passesAnswers) front.send(frame, client, '127.0.0.1');
    });
    server.on('connection', (socket) => this.#carry(socket, targetPort));
  }

  static async start(targetPort: number): Promise<Relay> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const front = createSocket('udp4').bind(portOf(server), '127.0.0.1');
    const back = createSocket('udp4').bind(0, '127.0.0.1');
    await Promise.all([once(front, 'listening'), once(back, 'listening')]);
    return new Relay(server, front, back, targetPort);
  }

  /** Where the target sees datagrams come from. */
  get datagramPort(): number {
    return this.#back.address().port;
  }

  get streamCount(): number {
    return this.#sockets.size / 2;
  }

  /** The kernels' buffers fill up, then the senders'. */
  pauseStreams(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  resumeStreams(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  cutStreams(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutStreams();
    this.#front.close();
    this.#back.close();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #carry(socket: Socket, targetPort: number): void {
    if (!this.streams) {
      socket.destroy();
      return;
    }
    const onward = connect(targetPort, '127.0.0.1');
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        if (!this.isFrozen) other.destroy();
      });
      one.on('data', (chunk) => {
        if (!this.isFrozen) other.write(chunk);
      });
    }
  }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the relay does not listen');
  return address.port;
}
