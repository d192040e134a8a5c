/**
 * Throw-away certificates for tests of TLS: a CA, and nodes that it signed. Not how the product makes them, so that a
 * test of the transport does not depend on the product's own CA.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { BasicConstraintsExtension, X509CertificateGenerator } from '@peculiar/x509';
import type { TlsIdentity } from '../../raft/transport/acceptor.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface TestNode extends TlsIdentity {
  /** Of the leaf, base64 SPKI: what a member record would hold. */
  readonly publicKey: string;
}

export interface TestAuthority {
  /** PEM. */
  readonly cert: string;
  /** A node with a new key. `notAfter` in the past makes an expired certificate. */
  issue(name: string, notAfter?: Date): Promise<TestNode>;
}

export async function createTestAuthority(name = 'test CA'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true)],
  });
  return {
    cert: ca.toString('pem'),
    issue: (node, notAfter = new Date(Date.now() + 86_400_000)) =>
      issue(node, notAfter, ca.subject, ca.toString('pem'), keys.privateKey),
  };
}

async function issue(
  name: string,
  notAfter: Date,
  issuer: string,
  caPem: string,
  signingKey: webcrypto.CryptoKey,
): Promise<TestNode> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const leaf = await X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer,
    notBefore: new Date(0),
    notAfter,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`,
    cert: `${leaf.toString('pem')}\n${caPem}`,
    ca: caPem,
    publicKey: spki.toString('base64'),
  };
}
