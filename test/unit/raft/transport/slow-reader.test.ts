/** Streams whose other end does not read: what is dropped, what waits, and what overtakes. */
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { MAX_SNAPSHOT_INFLIGHT_BYTES, SNAPSHOT_CHUNK_BYTES } from '../../../../raft/limits.ts';
import { append, chunk, loaded } from './members.ts';
import { events, eventually, relayedPair } from './relayed-pair.ts';

const [one, two] = [toReplicaId(1), toReplicaId(2)];

describe('a session with a slow reader', () => {
  it('drops messages and fails requests rather than queue for a slow reader without bound', async () => {
    const { a, b, relay } = await relayedPair();
    relay.pauseStreams();
    const count = 40;
    for (let i = 0; i < count; i++) a.transport.send(append(one, two, 1 << 20));
    await expect(a.transport.request(two, new Uint8Array(1))).rejects.toMatchObject({ code: 'unreachable' });
    relay.resumeStreams();
    await eventually(() => expect(b.received.length).toBeGreaterThan(0));
    await a.transport.request(two, new Uint8Array(1));
    expect(b.received.length).toBeLessThan(count / 2);
    expect([...events(a), ...events(b)]).not.toContain('session-closed');
  });

  it('lets heartbeats and appends overtake the chunks of a snapshot that wait for a slow reader', async () => {
    const { a, b, relay } = await relayedPair();
    relay.pauseStreams();
    // The kernels take some, and what is more than the window of a snapshot is dropped.
    for (let i = 0; i < 100; i++) {
      a.transport.send(chunk(one, two, i * SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_BYTES));
      await new Promise((resolve) => setImmediate(resolve));
    }
    a.transport.send(append(one, two, 5_000));
    relay.resumeStreams();
    await eventually(() => expect(b.received.map(({ kind }) => kind)).toContain('append-request'));
    // Those that were dropped left room for it.
    a.transport.send(chunk(one, two, 200 * SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_BYTES));
    await eventually(() => expect(b.received.at(-1)).toMatchObject({ offset: 200 * SNAPSHOT_CHUNK_BYTES }));
    const at = b.received.findIndex(({ kind }) => kind === 'append-request');
    const waited = b.received.length - at - 2;
    expect(waited * SNAPSHOT_CHUNK_BYTES).toBeGreaterThanOrEqual(MAX_SNAPSHOT_INFLIGHT_BYTES);
    expect(b.received.length).toBeLessThan(100);
  });
});

describe('a snapshot', () => {
  it('goes on by itself when what was before it has left', async () => {
    const { a, b } = await relayedPair();
    a.transport.send(append(one, two, 5_000));
    for (const i of [0, 1, 2]) a.transport.send(chunk(one, two, i * 10, 10));
    await eventually(() => expect(b.received).toHaveLength(4));
    expect(b.received.slice(1)).toEqual([0, 1, 2].map((i) => chunk(one, two, i * 10, 10)));
  });

  it('never travels in datagrams, however small its chunks are', async () => {
    const { a, b, relay } = await relayedPair();
    a.transport.send(chunk(one, two, 0, 10));
    await eventually(() => expect(b.received).toEqual([chunk(one, two, 0, 10)]));
    expect(loaded(relay.datagrams)).toEqual([]);
  });
});
