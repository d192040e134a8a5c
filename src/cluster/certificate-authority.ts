/**
 * The agent's side of certificate making: forks certificate-child.ts for each job, hands it the request over IPC and
 * checks what comes back. Never loads an X.509 library itself. The names in a certificate are read back here, too.
 */
import { fork } from 'node:child_process';
import type { X509Certificate } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type ReplicaId, toReplicaId } from '../../raft/core/types.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type NodeId, toNodeId } from '../subnet/lease.ts';

/** What a node certificate says: URI `tsflannel://<cluster>/<epoch>/<node>/<replica>`. */
export interface CertificateNames {
  readonly clusterId: string;
  readonly epoch: number;
  readonly nodeId: NodeId;
  readonly replicaId: ReplicaId;
}

export interface CaRequest {
  readonly kind: 'make-ca';
  readonly clusterId: string;
  readonly epoch: number;
}
/** PEM. */
export interface CaResponse {
  readonly caCert: string;
  readonly caKey: string;
}
export interface IssueRequest {
  readonly kind: 'issue';
  /** PEM. */
  readonly caCert: string;
  readonly caKey: string;
  /** SPKI DER, base64. */
  readonly publicKey: string;
  readonly names: CertificateNames;
}
export interface FoundRequest {
  readonly kind: 'found';
  readonly publicKey: string;
  readonly names: CertificateNames;
}
export interface FoundResponse extends CaResponse {
  readonly nodeCert: string;
}

/** A new CA and the first node's certificate, in one child. */
export async function foundAuthority(request: Omit<FoundRequest, 'kind'>): Promise<FoundResponse> {
  const answer = await inChild({ kind: 'found', ...request });
  const { caCert, caKey, nodeCert } = answer;
  if (caCert === undefined || caKey === undefined || nodeCert === undefined)
    throw failed('it sent no certificate');
  return { caCert, caKey, nodeCert };
}

export async function issue(request: Omit<IssueRequest, 'kind'>): Promise<string> {
  const { nodeCert } = await inChild({ kind: 'issue', ...request });
  if (nodeCert === undefined) throw failed('it sent no certificate');
  return nodeCert;
}

/** Undefined when the certificate does not carry exactly one name of ours. */
export function certificateNames(certificate: X509Certificate): CertificateNames | undefined {
  const match = /^URI:tsflannel:\/\/([0-9a-f]{32})\/([1-9]\d{0,8})\/([0-9a-f]{32})\/([1-9]\d{0,14})$/.exec(
    certificate.subjectAltName ?? '',
  );
  const [, clusterId, epoch, nodeId, replicaId] = match ?? [];
  if (clusterId === undefined || nodeId === undefined) return undefined;
  return {
    clusterId,
    epoch: Number(epoch),
    nodeId: toNodeId(nodeId),
    replicaId: toReplicaId(Number(replicaId)),
  };
}

/** Enough for a slow machine; a child that hangs longer is killed. */
const CHILD_TIMEOUT_MS = 30_000;

interface ChildAnswer {
  caCert?: string;
  caKey?: string;
  nodeCert?: string;
  error?: string;
}

async function inChild(request: IssueRequest | FoundRequest): Promise<ChildAnswer> {
  const path = fileURLToPath(new URL('./certificate-child.js', import.meta.url));
  const child = fork(path, [], {
    execArgv: [],
    timeout: CHILD_TIMEOUT_MS,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return await new Promise<ChildAnswer>((resolve, reject) => {
    child.once('message', (message: ChildAnswer) => {
      if (message.error === undefined) resolve(message);
      else reject(failed(message.error));
    });
    child.once('error', (error) => reject(failed(error.message)));
    child.once('exit', (code, signal) => reject(failed(`it ended early (${signal ?? code})`)));
    child.send(request);
  });
}

function failed(reason: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'certificate-failed',
      EXIT.failed,
      `The process that makes certificates failed: ${reason}.`,
      'Try again, and look at the free memory of this host if it happens again.',
    ),
  );
}
