/**
 * The ceiling of a Raft in node on this machine: a process that does only what no Raft of three voters can leave out.
 * Entries go to both followers in datagrams of at most 1,200 bytes, AES-256-GCM; each process writes what has arrived as
 * one chained, synced LevelDB batch, one batch at a time; a follower acknowledges each batch; two of three make a commit.
 * There is no log, no term, no election, no checksum, no state machine, and a lost datagram is not missed: followers
 * acknowledge the highest index that they have seen.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { Level } from 'level';
import { load } from './load.ts';
import { type CeilingCalls, type CeilingConfig, ENTRY_BYTES } from './raft-calls.ts';
import { serve } from './worker.ts';

const LEADER = 1;
const QUORUM = 2;
const DATAGRAM_BYTES = 1_200;
const INDEX_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What a record has beside its payload in the real database. */
const RECORD_OVERHEAD_BYTES = 42;
const ENTRIES_PER_DATAGRAM = Math.floor(
  (DATAGRAM_BYTES - NONCE_BYTES - TAG_BYTES - INDEX_BYTES) / (ENTRY_BYTES + INDEX_BYTES),
);
const STALL_MS = 50;
const RECEIVE_BUFFER_BYTES = 4 << 20;
const KEY = Buffer.alloc(32, 7);

interface Running {
  readonly config: CeilingConfig;
  readonly socket: Socket;
  readonly database: Level<Buffer, Buffer>;
}

let running: Running | null = null;
let counter = 0;
/** What this process has, has given to the disk, and has on the disk. */
let last = 0;
let handed = 0;
let durable = 0;
let isWriting = false;
let sent = 0;
let committed = 0;
let isFlushScheduled = false;
const acknowledged = new Map<number, number>();
const waiting = new Map<number, () => void>();

async function start(config: CeilingConfig): Promise<void> {
  const database = new Level<Buffer, Buffer>(config.directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    writeBufferSize: 16 << 20,
  });
  await database.open();
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, done) => done(null, address, 4) });
  const listening = once(socket, 'listening');
  socket.bind(portOf(config, config.replica), '127.0.0.1');
  await listening;
  socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  socket.on('message', (frame, { port }) => receive(open(frame), port));
  running = { config, socket, database };
}

function portOf({ members }: CeilingConfig, replica: number): number {
  return members.find((member) => member.replica === replica)?.port ?? 0;
}

function seal(plaintext: Uint8Array): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(running?.config.replica ?? 0);
  nonce.writeUIntBE(counter++, NONCE_BYTES - 6, 6);
  const cipher = createCipheriv('aes-256-gcm', KEY, nonce);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]);
}

function open(frame: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', KEY, frame.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(frame.subarray(-TAG_BYTES));
  const plaintext = decipher.update(frame.subarray(NONCE_BYTES, -TAG_BYTES));
  decipher.final();
  return plaintext;
}

function send(plaintext: Uint8Array, port: number): void {
  running?.socket.send(seal(plaintext), port, '127.0.0.1');
}

/** An acknowledgement is an index alone, anything longer ends with the index of its last entry. */
function receive(plaintext: Buffer, port: number): void {
  const index = Number(plaintext.readBigUInt64BE(plaintext.length - INDEX_BYTES));
  if (plaintext.length > INDEX_BYTES) {
    last = Math.max(last, index);
    scheduleFlush();
    return;
  }
  acknowledged.set(port, Math.max(acknowledged.get(port) ?? 0, index));
  commit();
}

function scheduleFlush(): void {
  if (isFlushScheduled) return;
  isFlushScheduled = true;
  setImmediate(() => {
    isFlushScheduled = false;
    sendEntries();
    write();
  });
}

function sendEntries(): void {
  if (running?.config.replica !== LEADER) return;
  while (sent < last) {
    const end = Math.min(last, sent + ENTRIES_PER_DATAGRAM);
    sendUpTo(end, end - sent);
    sent = end;
  }
}

function sendUpTo(end: number, entries: number): void {
  const datagram = Buffer.alloc(entries * (ENTRY_BYTES + INDEX_BYTES) + INDEX_BYTES);
  datagram.writeBigUInt64BE(BigInt(end), datagram.length - INDEX_BYTES);
  for (const { replica, port } of running?.config.members ?? []) if (replica !== LEADER) send(datagram, port);
}

function write(): void {
  if (running === null || isWriting || handed === last) return;
  isWriting = true;
  const { database, config } = running;
  const batch = database.batch();
  for (; handed < last; handed++) {
    const key = Buffer.alloc(INDEX_BYTES);
    key.writeBigUInt64BE(BigInt(handed + 1));
    batch.put(key, Buffer.alloc(ENTRY_BYTES + RECORD_OVERHEAD_BYTES));
  }
  const end = handed;
  batch
    .write({ sync: true })
    .then(() => {
      isWriting = false;
      durable = end;
      if (config.replica === LEADER) commit();
      else acknowledge(config);
      write();
    })
    .catch((error: unknown) => {
      throw error;
    });
}

function acknowledge(config: CeilingConfig): void {
  const datagram = Buffer.alloc(INDEX_BYTES);
  datagram.writeBigUInt64BE(BigInt(durable));
  send(datagram, portOf(config, LEADER));
}

function commit(): void {
  const reached = [durable, ...acknowledged.values()].toSorted((a, b) => b - a)[QUORUM - 1] ?? 0;
  for (; committed < reached; committed++) {
    waiting.get(committed + 1)?.();
    waiting.delete(committed + 1);
  }
}

function propose(): Promise<boolean> {
  last += 1;
  const index = last;
  scheduleFlush();
  return new Promise((resolve) => waiting.set(index, () => resolve(true)));
}

serve<CeilingCalls>({
  start,
  commits: async (options) => {
    let seen = 0;
    // The last datagram of all was lost: nothing else would bring it again.
    const stall = setInterval(() => {
      if (seen === committed && committed < last) sendUpTo(last, 1);
      seen = committed;
    }, STALL_MS);
    const figures = await load(options, propose);
    clearInterval(stall);
    return figures;
  },
  stop: async () => {
    const stopped = running;
    running = null;
    stopped?.socket.close();
    await stopped?.database.close();
  },
});
