/**
 * One TLS connection as a sequence of frames. Owns the socket and its death: whoever made a stream hears `onClose`
 * exactly once, whatever happened. It never holds more than one frame of what comes in and reports how much waits to
 * go out; what the frames mean is not its business.
 */
import type { TLSSocket } from 'node:tls';
import { DecodeError } from '../storage/bytes.ts';
import { TransportError } from './errors.ts';
import { encodeFrameHeader, FrameReader, type FrameType } from './frame.ts';

export class FrameStream {
  readonly socket: TLSSocket;
  onFrame: (type: number, body: Buffer) => void = () => undefined;
  /** The kernel has taken everything. */
  onDrain: () => void = () => undefined;
  /** `error` is null when the other side ended the connection in good order. */
  onClose: (error: Error | null) => void = () => undefined;
  /** Monotonic time of the last bytes. */
  lastHeardMs: number = performance.now();
  readonly #reader: FrameReader;
  #error: Error | null = null;
  #isClosed = false;

  /** Not the event of the socket: that comes only after much was written. */
  readonly #written = (): void => {
    if (this.queuedBytes === 0) this.onDrain();
  };

  constructor(socket: TLSSocket, maxFrameBytes: number) {
    this.socket = socket;
    this.#reader = new FrameReader(maxFrameBytes);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('close', () => this.#close());
  }

  /** Nothing that is written from now on arrives. */
  get isClosed(): boolean {
    return this.#isClosed || !this.socket.writable;
  }

  /** Bytes that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  set maxFrameBytes(limit: number) {
    this.#reader.maxFrameBytes = limit;
  }

  write(type: FrameType, ...parts: readonly Uint8Array[]): void {
    if (this.isClosed) return;
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    this.socket.write(Buffer.concat([encodeFrameHeader(type, size), ...parts]), this.#written);
  }

  /** Ends after what was written has left. */
  end(): void {
    this.socket.end();
  }

  destroy(error: Error | null): void {
    this.#error ??= error;
    this.socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.socket.destroyed) return;
    this.lastHeardMs = performance.now();
    this.#reader.push(chunk);
    try {
      for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
        this.onFrame(frame.type, frame.body);
        if (this.socket.destroyed) return;
      }
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof TransportError)) throw error;
      this.destroy(error);
    }
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.onClose(this.#error);
  }
}
