/**
 * Makes the cluster's certificates with @peculiar/x509. Loading that library costs 60-90 ms of a blocked loop and
 * 7-16 MB for good, so only certificate-child.ts may import this file: it runs in a forked process that ends.
 *
 * Dates drive renewal and warnings only; who is a member is decided by the replicated records (see authority).
 */
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import type { CaRequest, CaResponse, CertificateNames, IssueRequest } from './certificate-authority.ts';

// Its CommonJS build is one file, its ES modules are hundreds: the time to load them is most of a join.
const require = createRequire(import.meta.url);
require('reflect-metadata');
const x509: typeof import('@peculiar/x509') = require('@peculiar/x509');

const DAY_MS = 24 * 60 * 60 * 1000;
const CA_LIFETIME_MS = 20 * 365 * DAY_MS;
const NODE_LIFETIME_MS = 365 * DAY_MS;
/** A joiner whose clock is a little behind should not be warned. */
const BACKDATE_MS = DAY_MS;
const ALGORITHM = { name: 'Ed25519' };

x509.cryptoProvider.set(webcrypto);

export async function makeCa(request: CaRequest): Promise<CaResponse> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  if (!('privateKey' in keys)) throw new TypeError('no key pair was made');
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=tsflannel ${request.clusterId} epoch ${request.epoch}`,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + CA_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const caKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return {
    caCert: certificate.toString('pem'),
    caKey: String(caKey.export({ format: 'pem', type: 'pkcs8' })),
  };
}

/** The names are the leader's own: nothing of the asker's wording gets into a certificate but its public key. */
export async function issueCertificate(request: IssueRequest): Promise<string> {
  const ca = new x509.X509Certificate(request.caCert);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: request.names.replicaId.toString(16).padStart(16, '0'),
    subject: `CN=${request.names.nodeId}`,
    issuer: ca.subject,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + NODE_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: await importPublicKey(Buffer.from(request.publicKey, 'base64')),
    signingKey: await importPrivateKey(createPrivateKey(request.caKey)),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.clientAuth,
        x509.ExtendedKeyUsage.serverAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: certificateUri(request.names) }]),
    ],
  });
  return certificate.toString('pem');
}

function certificateUri(names: CertificateNames): string {
  return `tsflannel://${names.clusterId}/${names.epoch}/${names.nodeId}/${names.replicaId}`;
}

async function importPublicKey(spki: Buffer): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey({ key: spki, format: 'der', type: 'spki' }).export({
    format: 'der',
    type: 'spki',
  });
  return await webcrypto.subtle.importKey('spki', der, ALGORITHM, true, ['verify']);
}

async function importPrivateKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}
