/**
 * Knows what the Docker engine of this host is and runs, now: follows its events while it runs, and notices when it
 * ends and starts. Nobody waits for it: no engine, or one that hangs or talks nonsense, is a state. Without an engine it
 * costs one look at a file twice a second, with one nothing until something happens there.
 */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../observe/log.ts';
import { type EngineFacts, readEngineInfo, readNetworks } from './engine.ts';
import { EngineClient, EngineError, type EngineSocket } from './engine-client.ts';

export interface EngineWatcherOptions {
  readonly socket: EngineSocket;
  readonly log: Log;
  /** After each start and end of an engine, and when its networks or containers have changed. */
  readonly onChange: () => void;
}

/** Between two looks for an engine that is not there. */
const LOOK_MS = 500;
/** Events come in bursts: the four of one container are one reading. */
const SETTLE_MS = 100;
/** On a host that starts containers all day the engine spends at most a twentieth of its time on us. */
const READ_GAP_MS_MIN = 1_000;
const READ_GAP_MS_MAX = 10_000;
const READ_GAP_FACTOR = 20;
/** A network that comes or goes, a container on it, a daemon that has read its configuration again. A container is on
 *  its network before it counts as running. Health checks and `docker exec` are not among them. */
const EVENTS = {
  type: ['network', 'container', 'daemon'],
  event: ['create', 'destroy', 'connect', 'disconnect', 'start', 'die', 'reload'],
} as const;

export class EngineWatcher implements AsyncDisposable {
  readonly #options: EngineWatcherOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #facts: EngineFacts | null = null;
  #failure: string | null = null;

  constructor(options: EngineWatcherOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get facts(): EngineFacts | null {
    return this.#facts;
  }

  /** Why an engine that is there cannot be asked. */
  get failure(): string | null {
    return this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        if (isThere(this.#options.socket)) await this.#follow();
        this.#fail(null);
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        if (!signal.aborted) this.#fail(isAbsent(error) ? null : error.message);
      }
      this.#set(null);
      await this.#pause(LOOK_MS);
    }
  }

  /** From one start of an engine to its end. Throws EngineError. */
  async #follow(): Promise<void> {
    const { socket, log } = this.#options;
    const client = await EngineClient.connect(socket.path, this.#closing.signal);
    const changes = new Changes();
    // Before the first reading, so that nothing happens between the two unseen.
    using events = await client.events(EVENTS, () => changes.mark());
    const ended = events.ended.then(() => changes.end());
    const info = await readEngineInfo(client);
    log.info('engine-found', `Docker ${info.version} answers at ${socket.path}.`, { ...info });
    do {
      const began = performance.now();
      this.#set({ ...info, networks: await readNetworks(client) });
      this.#fail(null);
      const gapMs = Math.max(READ_GAP_MS_MIN, READ_GAP_FACTOR * (performance.now() - began));
      await Promise.race([ended, this.#pause(Math.min(gapMs, READ_GAP_MS_MAX))]);
      await changes.next();
      await Promise.race([ended, this.#pause(SETTLE_MS)]);
    } while (!changes.ended);
    log.info('engine-ended', `Docker ${info.version} has ended.`);
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  #set(facts: EngineFacts | null): void {
    if (JSON.stringify(facts) === JSON.stringify(this.#facts)) return;
    this.#facts = facts;
    this.#options.onChange();
  }

  #fail(failure: string | null): void {
    if (failure === this.#failure) return;
    this.#failure = failure;
    if (failure !== null) this.#options.log.warn('engine-unreadable', `Docker cannot be asked: ${failure}.`);
  }
}

/** Whether something has happened since it was last asked for. */
class Changes {
  #isDirty = false;
  #ended = false;
  #wake: () => void = () => undefined;

  get ended(): boolean {
    return this.#ended;
  }

  mark(): void {
    this.#isDirty = true;
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** At once where there was one meanwhile. */
  async next(): Promise<void> {
    if (!this.#isDirty && !this.#ended)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#isDirty = false;
  }
}

function isThere({ path, pidFile }: EngineSocket): boolean {
  return existsSync(pidFile ?? path);
}

/** It was stopped, or has not begun to listen. */
function isAbsent({ cause }: EngineError): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}
