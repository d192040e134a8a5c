import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { type AnonymousSession, connectAnonymous } from '../../../../raft/transport/anonymous.ts';
import type { Caller } from '../../../../raft/transport/session.ts';
import { createTestAuthority } from '../../../support/certificates.ts';
import { authority, Cluster, type Member, spki } from './members.ts';

const one = toReplicaId(1);

async function member(
  onRequest: (caller: Caller, payload: Uint8Array) => Promise<Uint8Array>,
  tls?: Parameters<Cluster['start']>[1],
): Promise<Member> {
  const cluster = await Cluster.of(1);
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  return await cluster.start(one, { onRequest, ...tls });
}

function open(
  to: Member,
  verify = (_leaf: X509Certificate, _ca: X509Certificate | null) => true,
): Promise<AnonymousSession> {
  return connectAnonymous({ host: '127.0.0.1', port: to.transport.port }, { verify });
}

describe('an anonymous session', () => {
  it('asks, is answered, and is told apart from members', async () => {
    const callers: Caller[] = [];
    const server = await member(async (caller, payload) => {
      callers.push(caller);
      return Buffer.from(`you said ${Buffer.from(payload)}`);
    });
    using session = await open(server);
    expect(Buffer.from(await session.request(Buffer.from('hi'))).toString()).toBe('you said hi');
    expect(callers[0]).toMatchObject({ replica: null, certificate: null, remoteAddress: '127.0.0.1' });
  });

  it('sees the leaf and the CA that signed it before it sends anything', async () => {
    const server = await member(async () => new Uint8Array());
    const seen: (X509Certificate | null)[] = [];
    using _session = await open(server, (leaf, ca) => {
      seen.push(leaf, ca);
      return true;
    });
    expect(seen.map((certificate) => certificate?.subject)).toEqual(['CN=replica 1', 'CN=test CA']);
    expect(seen[1]?.toString().trim()).toBe(authority.cert.trim());
  });

  it('says nothing to whom it does not trust', async () => {
    let asked = 0;
    const server = await member(async () => {
      asked += 1;
      return new Uint8Array();
    });
    await expect(open(server, () => false)).rejects.toMatchObject({ code: 'untrusted' });
    expect(asked).toBe(0);
  });

  it('is not fooled by the true CA certificate beside a leaf that it did not sign', async () => {
    const fake = await (await createTestAuthority()).issue('replica 1');
    const leaf = fake.cert.slice(0, fake.cert.indexOf('-----END') + 26);
    const server = await member(async () => new Uint8Array(), {
      tls: { ...fake, cert: `${leaf}\n${authority.cert}` },
    });
    const issuers: (X509Certificate | null)[] = [];
    const refused = open(server, (presented, ca) => {
      expect(spki(presented)).toBe(fake.publicKey);
      issuers.push(ca);
      return ca !== null;
    });
    await expect(refused).rejects.toMatchObject({ code: 'untrusted' });
    expect(issuers).toEqual([null]);
  });

  it('shares its exporter value with the member and with nobody else', async () => {
    const server = await member(async (caller) => caller.exportKeyingMaterial('EXPORTER-test', 32));
    using session = await open(server);
    using other = await open(server);
    const theirs = Buffer.from(await session.request(new Uint8Array()));
    expect(theirs).toEqual(session.exportKeyingMaterial('EXPORTER-test', 32));
    expect(theirs).not.toEqual(other.exportKeyingMaterial('EXPORTER-test', 32));
    expect(theirs).not.toEqual(session.exportKeyingMaterial('EXPORTER-another', 32));
  });

  it('does not learn why a request failed', async () => {
    const server = await member(() => Promise.reject(new Error('the secret is swordfish')));
    using session = await open(server);
    const failure = session.request(Buffer.from('x'));
    await expect(failure).rejects.toMatchObject({ code: 'remote' });
    await expect(failure).rejects.not.toThrow(/swordfish/);
  });

  it('may ask little at a time and nothing large', async () => {
    const server = await member(() => new Promise(() => undefined));
    using session = await open(server);
    const requests = Array.from({ length: 5 }, () => session.request(new Uint8Array(10)));
    for (const request of requests.slice(0, 4)) request.catch(() => undefined);
    await expect(requests[4]).rejects.toMatchObject({ code: 'remote' });
    await expect(session.request(new Uint8Array(65_536))).rejects.toMatchObject({ code: 'unreachable' });
    session.close();
    await expect(session.request(new Uint8Array(1))).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('gives up when its signal says so, or nobody listens, or nobody answers', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void silent.close());
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const signal = AbortSignal.timeout(50);
    const verify = (): boolean => true;
    const given = connectAnonymous({ host: '127.0.0.1', port }, { verify, signal });
    await expect(given).rejects.toMatchObject({ code: 'timeout' });
    const refused = connectAnonymous({ host: '127.0.0.1', port: 9 }, { verify });
    await expect(refused).rejects.toMatchObject({ code: 'unreachable', cause: { code: 'ECONNREFUSED' } });
  });

  it('speaks from the address that it is told to', async () => {
    const server = await member(async (caller) => Buffer.from(caller.remoteAddress));
    using session = await connectAnonymous(
      { host: '127.0.0.1', port: server.transport.port },
      { verify: () => true, localAddress: '127.0.0.7' },
    );
    expect(Buffer.from(await session.request(new Uint8Array())).toString()).toBe('127.0.0.7');
  });
});
