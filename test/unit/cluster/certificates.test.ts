/** Certificates of a cluster: who signed them, and that they say exactly what the leader wanted said. */
import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import { certificateNames } from '../../../src/cluster/certificate-authority.ts';
import { issueCertificate, makeCa } from '../../../src/cluster/certificates.ts';
import { createIdentity } from '../../../src/cluster/identity.ts';

const clusterId = 'c'.repeat(32);

describe('certificates', () => {
  it('carry the names of the log and the key of the host, signed by this CA and no other', async () => {
    const identity = createIdentity();
    const ca = await makeCa({ kind: 'make-ca', clusterId, epoch: 1 });
    const other = await makeCa({ kind: 'make-ca', clusterId, epoch: 1 });
    const names = { clusterId, epoch: 1, nodeId: identity.nodeId, replicaId: toReplicaId(7) };
    const publicKey = identity.publicKey.toString('base64');
    const certificate = new X509Certificate(
      await issueCertificate({ kind: 'issue', ...ca, publicKey, names }),
    );
    expect(certificateNames(certificate)).toEqual(names);
    expect(certificate.publicKey.export({ format: 'der', type: 'spki' })).toEqual(identity.publicKey);
    expect(certificate.verify(new X509Certificate(ca.caCert).publicKey)).toBe(true);
    expect(certificate.verify(new X509Certificate(other.caCert).publicKey)).toBe(false);
    expect(certificate.ca).toBe(false);
  });

  it('are not made for what is no key', async () => {
    const ca = await makeCa({ kind: 'make-ca', clusterId, epoch: 1 });
    const names = { clusterId, epoch: 1, nodeId: createIdentity().nodeId, replicaId: toReplicaId(1) };
    const request = { kind: 'issue', ...ca, publicKey: 'bm90IGEga2V5', names } as const;
    await expect(issueCertificate(request)).rejects.toThrow();
  });

  it('of the CA itself name no host', async () => {
    const { caCert } = await makeCa({ kind: 'make-ca', clusterId, epoch: 1 });
    expect(certificateNames(new X509Certificate(caCert))).toBeUndefined();
  });
});
