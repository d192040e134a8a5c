/**
 * A port that strangers shout at: garbage of every kind over UDP, TCP and TLS, while two members keep talking. The
 * process stays up, its memory does not grow with the noise, and the members notice nothing.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import {
  ANONYMOUS_SESSIONS_MAX,
  MAX_FRAME_BYTES,
  UNPROVEN_CONNECTIONS_MAX,
} from '../../../../raft/limits.ts';
import { connectAnonymous } from '../../../../raft/transport/anonymous.ts';
import {
  CONTEXT_HASH_BYTES,
  encodeFrameHeader,
  encodeHello,
  FRAME,
  type FrameType,
} from '../../../../raft/transport/frame.ts';
import { NO_POSITION } from '../../../../raft/transport/witness.ts';
import { append, Cluster, heartbeat, isConnected, type Member } from './members.ts';

const patience = { timeout: 60_000, interval: 10 };
const [one, two] = [toReplicaId(1), toReplicaId(2)];
const contextHash = new Uint8Array(CONTEXT_HASH_BYTES);

let cluster: Cluster;
let a: Member;
let b: Member;
beforeAll(async () => {
  cluster = await Cluster.of(2);
  a = await cluster.start(one);
  b = await cluster.start(two);
  for (const { transport } of [a, b]) transport.setPeers(cluster.ids);
  await vi.waitFor(() => expect(isConnected(a, two) && isConnected(b, one)).toBe(true), patience);
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

function frame(type: FrameType, body: Uint8Array): Buffer {
  return Buffer.concat([encodeFrameHeader(type, body.length), body]);
}

const anonymousHello = frame(FRAME.hello, encodeHello({ replica: null, contextHash, position: NO_POSITION }));

/** What a connection says, over TCP in clear or inside TLS. */
const garbage: readonly { readonly tls: boolean; readonly bytes: () => Uint8Array }[] = [
  { tls: false, bytes: () => new Uint8Array() },
  { tls: false, bytes: () => randomBytes(1 + Math.floor(Math.random() * 5_000)) },
  { tls: false, bytes: () => Buffer.from([0x16, 3, 1, 0x40, 0, ...randomBytes(300)]) },
  { tls: true, bytes: () => new Uint8Array() },
  { tls: true, bytes: () => randomBytes(2_000) },
  { tls: true, bytes: () => encodeFrameHeader(FRAME.hello, MAX_FRAME_BYTES) },
  { tls: true, bytes: () => frame(FRAME.hello, randomBytes(41)) },
  {
    tls: true,
    bytes: () => frame(FRAME.hello, encodeHello({ replica: two, contextHash, position: NO_POSITION })),
  },
  { tls: true, bytes: () => frame(FRAME.message, randomBytes(100)) },
  { tls: true, bytes: () => Buffer.concat([anonymousHello, frame(FRAME.message, randomBytes(100))]) },
  { tls: true, bytes: () => Buffer.concat([anonymousHello, frame(FRAME.response, randomBytes(100))]) },
  { tls: true, bytes: () => Buffer.concat([anonymousHello, encodeFrameHeader(FRAME.request, 1 << 20)]) },
  { tls: true, bytes: () => Buffer.concat([anonymousHello, frame(FRAME.request, randomBytes(2))]) },
  { tls: true, bytes: () => Buffer.concat([anonymousHello, anonymousHello]) },
];

/** Says it, and goes when the other side ends it or after a moment. */
function shout(kind: { readonly tls: boolean; readonly bytes: () => Uint8Array }): Promise<void> {
  return new Promise((resolve) => {
    const target = { host: '127.0.0.1', port: a.transport.port, rejectUnauthorized: false };
    const socket: Socket | TLSSocket = kind.tls ? connectTls(target) : connectTcp(target);
    const timer = setTimeout(() => socket.destroy(), 200);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once(kind.tls ? 'secureConnect' : 'connect', () => socket.write(kind.bytes()));
    socket.resume();
  });
}

/** The members talk until told to stop; returns how many requests were answered. */
function conversation(): { stop(): Promise<number> } {
  let isOver = false;
  const talk = async (): Promise<number> => {
    let answered = 0;
    while (!isOver) {
      await a.transport.request(two, Buffer.from('still there?'));
      await b.transport.request(one, Buffer.from('yes'));
      answered += 2;
    }
    return answered;
  };
  const talking = talk();
  return {
    stop: () => {
      isOver = true;
      return talking;
    },
  };
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function shoutDatagrams(count: number): Promise<void> {
  const socket = createSocket('udp4');
  const seed = createHash('sha256').update('datagrams').digest();
  for (let i = 0; i < count; i++) {
    const size = i % 1_400;
    const bytes = i % 3 === 0 ? randomBytes(size) : Buffer.concat([Buffer.of(1), randomBytes(size), seed]);
    // Awaited, so that the kernel's buffer is not what drops them.
    await new Promise((resolve) => socket.send(bytes, a.transport.port, '127.0.0.1', resolve));
  }
  socket.close();
}

async function shoutConnections(count: number): Promise<void> {
  for (let i = 0; i < count; i += 100)
    await Promise.all(
      Array.from({ length: Math.min(100, count - i) }, (_, n) => {
        const kind = garbage[(i + n) % garbage.length];
        return kind === undefined ? Promise.resolve() : shout(kind);
      }),
    );
}

describe('garbage at the port of a member', patience, () => {
  it('10,000 datagrams and 1,000 connections disturb nobody and leave no memory behind', async () => {
    await Promise.all([shoutDatagrams(500), shoutConnections(100)]);
    const before = heapBytes();
    for (const { logged } of [a, b]) logged.length = 0;
    const talk = conversation();
    await Promise.all([shoutDatagrams(10_000), shoutConnections(1_000)]);
    expect(await talk.stop()).toBeGreaterThan(10);
    for (const { logged } of [a, b]) {
      expect(logged.map(({ event }) => event)).not.toContain('session-closed');
      logged.length = 0;
    }
    expect(heapBytes() - before).toBeLessThan(5 << 20);
    expect([...a.received, ...b.received]).toEqual([]);
    a.transport.send(heartbeat(one, two, 1));
    b.transport.send(append(two, one, 5_000));
    await vi.waitFor(() => expect([a.received.length, b.received.length]).toEqual([1, 1]), patience);
    for (const { received } of [a, b]) received.length = 0;
  });

  it('who asks and does not read the answers is cut off', async () => {
    let asked = 0;
    const lone = await Cluster.of(1);
    onTestFinished(() => lone[Symbol.asyncDispose]());
    const { transport } = await lone.start(one, {
      onRequest: async () => {
        asked += 1;
        return new Uint8Array(4 << 20);
      },
    });
    const target = { host: '127.0.0.1', port: transport.port, rejectUnauthorized: false };
    const socket = connectTls(target).on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'secureConnect');
    socket.pause();
    socket.write(anonymousHello);
    const question = frame(FRAME.request, Buffer.alloc(4));
    const isCut = new Promise((resolve) => socket.once('close', resolve));
    const asking = setInterval(() => socket.write(question), 5);
    onTestFinished(() => clearInterval(asking));
    await isCut;
    expect(asked).toBeLessThan(10);
  });

  it('connections that say nothing give way to those that do', async () => {
    const silent = Array.from({ length: 3 * UNPROVEN_CONNECTIONS_MAX }, () =>
      connectTcp(a.transport.port, '127.0.0.1').on('error', () => undefined),
    );
    await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    using session = await connectAnonymous(
      { host: '127.0.0.1', port: a.transport.port },
      { verify: () => true },
    );
    expect(Buffer.from(await session.request(Buffer.from('me'))).toString()).toContain('somebody');
    const open = (): number => silent.filter((socket) => !socket.destroyed).length;
    for (const socket of silent) socket.resume();
    await vi.waitFor(() => expect(open()).toBeLessThanOrEqual(UNPROVEN_CONNECTIONS_MAX), patience);
    for (const socket of silent) socket.destroy();
  });

  it('strangers who stay without asking anything give way as well', async () => {
    const endpoint = { host: '127.0.0.1', port: a.transport.port };
    const verify = (): boolean => true;
    const idle = await Promise.all(
      Array.from({ length: ANONYMOUS_SESSIONS_MAX }, () => connectAnonymous(endpoint, { verify })),
    );
    using late = await connectAnonymous(endpoint, { verify });
    expect(Buffer.from(await late.request(Buffer.from('me'))).toString()).toContain('somebody');
    const answers = await Promise.allSettled(idle.map((session) => session.request(Buffer.from('me'))));
    expect(answers.filter(({ status }) => status === 'rejected').length).toBeGreaterThanOrEqual(1);
    for (const session of idle) session.close();
  });
});
