import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { TransportError } from '../../../../raft/transport/errors.ts';
import { append, authority, heartbeat, isConnected, loaded, type Member } from './members.ts';
import { Relay } from './relay.ts';
import { cluster, connected, events, eventually, relayedPair } from './relayed-pair.ts';

const [one, two, three] = [toReplicaId(1), toReplicaId(2), toReplicaId(3)];

describe('three transports', () => {
  it('connect, and carry small and large messages in all directions', async () => {
    const members = await (await cluster(3)).startAll();
    for (const from of members) for (const to of members) if (from !== to) await connected(from, to.id);
    for (const from of members)
      for (const to of members)
        if (from !== to) {
          from.transport.send(heartbeat(from.id, to.id, 42));
          from.transport.send(append(from.id, to.id, 100_000));
        }
    for (const to of members)
      await eventually(() => {
        for (const from of members.filter(({ id }) => id !== to.id)) {
          expect(to.received).toContainEqual(heartbeat(from.id, to.id, 42));
          expect(to.received).toContainEqual(append(from.id, to.id, 100_000));
        }
        expect(to.received).toHaveLength(4);
      });
  });

  it('answer requests of each other over the one session of a pair', async () => {
    const members = await (await cluster(3)).startAll();
    for (const from of members)
      for (const to of members)
        if (from !== to) {
          const answer = await from.transport.request(to.id, Buffer.from('hello'));
          expect(Buffer.from(answer).toString()).toBe(`${from.id} at 127.0.0.1: hello`);
        }
  });
});

describe('a request', () => {
  it('dials at once, whoever has the lower id, and waits for the session', async () => {
    const both = await cluster(2);
    await both.start(one);
    const b = await both.start(two);
    b.transport.setPeers([one]);
    const answer = await b.transport.request(one, Buffer.from('first word'));
    expect(Buffer.from(answer).toString()).toContain('first word');
  });

  it('to a replica that is no peer or does not listen is `unreachable`', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    await expect(a.transport.request(two, Buffer.alloc(1))).rejects.toMatchObject({ code: 'unreachable' });
    both.setEndpoint(two, 9);
    a.transport.setPeers([two]);
    await expect(a.transport.request(two, Buffer.alloc(1))).rejects.toMatchObject({
      code: 'unreachable',
      cause: { cause: { code: 'ECONNREFUSED' } },
    });
  });

  it('tells a member why it failed', async () => {
    const both = await cluster(2);
    await both.start(one, { onRequest: () => Promise.reject(new Error('the leases are all taken')) });
    const b = await both.start(two);
    b.transport.setPeers([one]);
    const failure = b.transport.request(one, Buffer.alloc(1));
    await expect(failure).rejects.toMatchObject({ code: 'remote' });
    await expect(failure).rejects.toThrow(/the leases are all taken/);
  });

  it('ends with the signal, and with the session', async () => {
    const both = await cluster(2);
    const asked: Uint8Array[] = [];
    const a = await both.start(one, {
      onRequest: (_caller, payload) => {
        asked.push(payload);
        return new Promise(() => undefined);
      },
    });
    const b = await both.start(two);
    b.transport.setPeers([one]);
    const abort = new AbortController();
    const given = b.transport.request(one, Buffer.from('a'), { signal: abort.signal });
    const cut = b.transport.request(one, Buffer.from('b'));
    await eventually(() => expect(asked).toHaveLength(2));
    abort.abort();
    await expect(given).rejects.toMatchObject({ code: 'timeout' });
    const isClosed = expect(cut).rejects.toMatchObject({ code: 'closed' });
    await a.transport.close();
    await isClosed;
    const late = b.transport.request(one, Buffer.from('c'), { signal: AbortSignal.abort() });
    await expect(late).rejects.toBeInstanceOf(TransportError);
  });

  it('is limited in size, and so is its answer', async () => {
    const both = await cluster(2);
    await both.start(one, { onRequest: async () => new Uint8Array(17 << 20) });
    const b = await both.start(two);
    b.transport.setPeers([one]);
    await expect(b.transport.request(one, Buffer.alloc(1))).rejects.toMatchObject({ code: 'remote' });
    const large = b.transport.request(one, new Uint8Array(17 << 20));
    await expect(large).rejects.toMatchObject({ code: 'unreachable' });
  });
});

describe('datagrams', () => {
  it('carry what fits, the stream carries the rest and the appends that follow it', async () => {
    const { a, b, relay } = await relayedPair();
    a.transport.send(heartbeat(one, two, 1));
    a.transport.send(append(one, two, 300));
    await eventually(() => expect(b.received).toHaveLength(2));
    expect(loaded(relay.datagrams)).toHaveLength(1);
    a.transport.send(append(one, two, 5_000));
    a.transport.send(append(one, two, 10, 1));
    a.transport.send(heartbeat(one, two, 2));
    await eventually(() => expect(b.received).toHaveLength(5));
    expect(loaded(relay.datagrams)).toHaveLength(2);
    const appends = b.received.filter(({ kind }) => kind === 'append-request');
    expect(appends.slice(1)).toEqual([append(one, two, 5_000), append(one, two, 10, 1)]);
  });

  it('are answered to where the peer spoke from, whatever its address hints say', async () => {
    const { a, b, relay } = await relayedPair();
    a.transport.send(heartbeat(one, two, 1));
    await eventually(() => expect(b.received).toHaveLength(1));
    expect(b.transport.peers()[0]?.endpoint).toEqual({ host: '127.0.0.1', port: relay.datagramPort });
    await eventually(() => {
      b.transport.send(heartbeat(two, one, 2));
      expect(loaded(relay.answers)).not.toEqual([]);
    });
    await eventually(() => expect(a.received).toContainEqual(heartbeat(two, one, 2)));
  });

  it('never overtake the hello that the other side needs to open them', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const b = await both.start(two);
    const hinted = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void hinted.close());
    await once(hinted, 'listening');
    const datagrams: Buffer[] = [];
    hinted.on('message', (frame) => datagrams.push(frame));
    both.setEndpoint(one, hinted.address().port);
    b.transport.onReachable = (peer) => b.transport.send(heartbeat(two, peer, 1));
    b.transport.setPeers([one]);
    a.transport.setPeers([two]);
    await eventually(() => expect(a.received).toEqual([heartbeat(two, one, 1)]));
    expect(datagrams).toEqual([]);
  });

  it('that are repeated, forged or from a stranger are dropped and redirect nothing', async () => {
    const { a, b, relay } = await relayedPair();
    a.transport.send(heartbeat(one, two, 1));
    await eventually(() => expect(b.received).toHaveLength(1));
    const frame = loaded(relay.datagrams)[0] ?? Buffer.alloc(0);
    const attacker = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void attacker.close());
    await once(attacker, 'listening');
    const answers: Buffer[] = [];
    attacker.on('message', (answer) => answers.push(answer));
    for (let at = 0; at < frame.length; at++) {
      const forged = Buffer.from(frame);
      forged[at] = (forged[at] ?? 0) ^ 0x40;
      attacker.send(forged, b.transport.port, '127.0.0.1');
    }
    for (let i = 0; i < 10; i++) attacker.send(frame, b.transport.port, '127.0.0.1');
    a.transport.send(heartbeat(one, two, 2));
    await eventually(() => expect(b.received).toHaveLength(2));
    expect(b.received).toEqual([heartbeat(one, two, 1), heartbeat(one, two, 2)]);
    expect(b.transport.peers()[0]?.endpoint?.port).toBe(relay.datagramPort);
    expect(answers).toEqual([]);
  });

  it('go on when the stream is cut and cannot come back', async () => {
    const { a, b, relay } = await relayedPair();
    relay.streams = false;
    relay.cutStreams();
    await eventually(() => expect([isConnected(a, two), isConnected(b, one)]).toEqual([false, false]));
    a.transport.send(heartbeat(one, two, 1));
    await eventually(() => expect(b.received).toHaveLength(1));
    b.transport.send(heartbeat(two, one, 2));
    await eventually(() => expect(a.received).toHaveLength(1));
    relay.streams = true;
    await connected(a, two);
    a.transport.send(heartbeat(one, two, 3));
    await eventually(() => expect(b.received).toHaveLength(2));
  });

  it('of a peer that is none any more are dropped at once', async () => {
    const { a, b } = await relayedPair();
    a.transport.send(heartbeat(one, two, 1));
    await eventually(() => expect(b.received).toHaveLength(1));
    b.transport.setPeers([]);
    a.transport.send(heartbeat(one, two, 2));
    await eventually(() => expect(isConnected(a, two)).toBe(false));
    expect(b.received).toHaveLength(1);
    expect(b.transport.peers()).toEqual([]);
  });
});

describe('a pair', () => {
  it('finds together again when one restarts on its address', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const b = await both.start(two);
    for (const { transport } of [a, b]) transport.setPeers(both.ids);
    await connected(a, two);
    const { port } = b.transport;
    await b.transport.close();
    await eventually(() => expect(isConnected(a, two)).toBe(false));
    const again = await both.start(two, { bind: { host: '127.0.0.1', port } });
    again.transport.setPeers(both.ids);
    await connected(a, two);
    await connected(again, one);
    a.transport.send(heartbeat(one, two, 1));
    again.transport.send(heartbeat(two, one, 2));
    await eventually(() => expect([a.received.length, again.received.length]).toEqual([1, 1]));
  });

  it('that dials from both sides at once keeps the session of the lower id', async () => {
    for (;;) {
      const both = await cluster(2);
      const a = await both.start(one);
      const b = await both.start(two);
      const towards = { one: await Relay.start(a.transport.port), two: await Relay.start(b.transport.port) };
      for (const relay of Object.values(towards)) onTestFinished(() => relay[Symbol.asyncDispose]());
      both.setEndpoint(one, towards.one.port);
      both.setEndpoint(two, towards.two.port);
      for (const { transport } of [a, b]) transport.setPeers(both.ids);
      await Promise.all([
        a.transport.request(two, Buffer.from('a')),
        b.transport.request(one, Buffer.from('b')),
      ]);
      // Now and then one of them is too late to dial.
      if (towards.one.streamCount === 0 || towards.two.streamCount === 0) continue;
      await Promise.all([
        a.transport.request(two, Buffer.from('a')),
        b.transport.request(one, Buffer.from('b')),
      ]);
      for (const { logged } of [a, b]) logged.length = 0;
      towards.one.cutStreams();
      await eventually(() => expect(towards.one.streamCount).toBe(0));
      await Promise.all([
        a.transport.request(two, Buffer.from('a')),
        b.transport.request(one, Buffer.from('b')),
      ]);
      expect([...events(a), ...events(b)]).not.toContain('session-closed');
      expect(towards.two.streamCount).toBe(1);
      return;
    }
  });

  it('is not held up by a session whose other end went without a word', async () => {
    const { cluster: both, a, b, relay } = await relayedPair();
    both.setEndpoint(one, a.transport.port);
    relay.isFrozen = true;
    await b.transport.close();
    expect(isConnected(a, two)).toBe(true);
    const again = await both.start(two, { bind: { host: '127.0.0.1', port: b.transport.port } });
    again.transport.setPeers([one]);
    await connected(again, one);
    // The dead session is given a second to show that it lives; the new one takes its place.
    await eventually(() => expect(events(a).at(-2)).toBe('session-closed'));
    again.transport.send(append(two, one, 5_000));
    await eventually(() => expect(a.received).toHaveLength(1));
    a.transport.send(heartbeat(one, two, 1));
    a.transport.send(append(one, two, 5_000));
    await eventually(() => expect(again.received).toHaveLength(2));
  });

  it('renews its keys by new handshakes, and drops nothing that is under way', async () => {
    const both = await cluster(2);
    let answer: (() => void) | undefined;
    const slowly = (): Promise<Uint8Array> =>
      new Promise((resolve) => {
        answer = () => resolve(Buffer.from('at last'));
      });
    const a = await both.start(one, { rekeyMs: 200 });
    const b = await both.start(two, { rekeyMs: 200, onRequest: slowly });
    for (const { transport } of [a, b]) transport.setPeers(both.ids);
    const request = a.transport.request(two, new Uint8Array());
    await eventually(() => expect(answer).toBeDefined());
    const opened = (member: Member): number =>
      events(member).filter((event) => event === 'session-opened').length;
    await eventually(() => expect(Math.min(opened(a), opened(b))).toBe(2));
    answer?.();
    expect(Buffer.from(await request).toString()).toBe('at last');
    await eventually(() => expect(Math.min(opened(a), opened(b))).toBeGreaterThanOrEqual(4));
    a.transport.send(heartbeat(one, two, 1));
    b.transport.send(heartbeat(two, one, 2));
    await eventually(() => expect([a.received.length, b.received.length]).toEqual([1, 1]));
    expect([...events(a), ...events(b)]).not.toContain('session-closed');
  });

  it('tries the next address when one does not answer', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const b = await both.start(two);
    both.setEndpoint(two, 9, b.transport.port);
    a.transport.setPeers([two]);
    await connected(a, two);
    expect(events(a)).toEqual(['dial-failed', 'session-opened']);
  });

  it('does not care for dates: an expired certificate of the right key is good', async () => {
    const both = await cluster(2);
    const expired = await authority.issue('replica 2', new Date('1971-01-01'));
    both.publicKeys.set(two, expired.publicKey);
    const a = await both.start(one);
    const b = await both.start(two, { tls: expired });
    for (const { transport } of [a, b]) transport.setPeers(both.ids);
    await connected(a, two);
    await connected(b, one);
  });
});

describe('who is not who it says', () => {
  it('is not answered by the side that dials, and hears nothing', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const impostor = await authority.issue('replica 2');
    const b = await both.start(two, { tls: impostor });
    a.transport.setPeers([two]);
    await eventually(() => expect(events(a)).toContain('dial-failed'));
    expect(a.logged[0]?.['error']).toMatchObject({ code: 'untrusted' });
    expect(events(b)).toEqual([]);
  });

  it('is refused by the side that is dialled', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const impostor = await authority.issue('replica 2');
    const b = await both.start(two, { tls: impostor });
    b.transport.setPeers([one]);
    const refused = b.transport.request(one, Buffer.from('let me in'));
    await expect(refused).rejects.toMatchObject({ code: 'unreachable', cause: { code: 'untrusted' } });
    expect(a.logged[0]).toMatchObject({ event: 'session-refused', claimed: two, reason: 'identity' });
  });

  it('is refused when it comes from another cluster', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const b = await both.start(two, { context: Buffer.from('cluster 2, epoch 1') });
    b.transport.setPeers([one]);
    const refused = b.transport.request(one, Buffer.from('hello'));
    await expect(refused).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/another cluster/) },
    });
    expect(a.logged[0]).toMatchObject({ event: 'session-refused', reason: 'context' });
  });

  it('is cut off when its record goes, session and keys', async () => {
    const members = await cluster(3);
    const [a, b, c] = await members.startAll();
    if (a === undefined || b === undefined || c === undefined) throw new Error('three were started');
    for (const to of [two, three]) await connected(a, to);
    members.publicKeys.delete(three);
    a.transport.reauthenticate();
    await eventually(() => expect(isConnected(a, three)).toBe(false));
    c.transport.send(heartbeat(three, one, 1));
    b.transport.send(heartbeat(two, one, 2));
    await eventually(() => expect(a.received).toEqual([heartbeat(two, one, 2)]));
    await eventually(() => expect(events(a)).toContain('session-refused'));
    expect(isConnected(a, two)).toBe(true);
    expect(isConnected(a, three)).toBe(false);
  });

  it('cannot make it fall over by a certificate that the caller cannot read', async () => {
    const both = await cluster(2);
    const a = await both.start(one, {
      authenticate: () => {
        throw new Error('not what was expected');
      },
    });
    const b = await both.start(two);
    b.transport.setPeers([one]);
    await expect(b.transport.request(one, Buffer.alloc(1))).rejects.toMatchObject({ code: 'unreachable' });
    expect(events(a)).toContain('authenticate-failed');
  });

  it('cannot speak for another: a message from a third replica ends the session', async () => {
    const members = await cluster(3);
    const a = await members.start(one);
    const b = await members.start(two);
    for (const { transport } of [a, b]) transport.setPeers([one, two]);
    await connected(b, one);
    b.transport.send({ ...append(three, one, 5_000) });
    await eventually(() => expect(events(a)).toContain('session-closed'));
    expect(a.received).toEqual([]);
  });
});

describe('certificates', () => {
  it('can be renewed while sessions are open', async () => {
    const both = await cluster(2);
    const a = await both.start(one);
    const b = await both.start(two);
    for (const { transport } of [a, b]) transport.setPeers(both.ids);
    await connected(a, two);
    const renewed = await authority.issue('replica 2');
    both.publicKeys.set(two, renewed.publicKey);
    b.transport.setTls(renewed);
    a.transport.reauthenticate();
    await eventually(() => expect(events(a).filter((event) => event === 'session-opened')).toHaveLength(2));
    expect(isConnected(a, two)).toBe(true);
  });
});

describe('listen', () => {
  it.each(['tcp', 'udp'])('says what is wrong when the %s port is taken', async (protocol) => {
    const both = await cluster(2);
    const a = await both.start(one);
    let { port } = a.transport;
    if (protocol === 'udp') {
      const socket = createSocket('udp4').bind(0, '127.0.0.1');
      onTestFinished(() => void socket.close());
      await once(socket, 'listening');
      port = socket.address().port;
    }
    const second = both.start(two, { bind: { host: '127.0.0.1', port } });
    await expect(second).rejects.toMatchObject({ cause: { code: 'EADDRINUSE' } });
    await expect(both.start(two, { bind: { host: '192.0.2.1', port: 0 } })).rejects.toMatchObject({
      cause: { code: 'EADDRNOTAVAIL' },
    });
  });
});

afterEach(() => vi.restoreAllMocks());
