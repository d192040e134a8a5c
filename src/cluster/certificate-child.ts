/** Entry of the forked process that makes certificates: one request over IPC, one answer, exit. */
import type { FoundRequest, IssueRequest } from './certificate-authority.ts';
import { issueCertificate, makeCa } from './certificates.ts';

async function answer(request: IssueRequest | FoundRequest): Promise<object> {
  if (request.kind === 'issue') return { nodeCert: await issueCertificate(request) };
  const ca = await makeCa({ kind: 'make-ca', ...request.names });
  return { ...ca, nodeCert: await issueCertificate({ ...request, kind: 'issue', ...ca }) };
}

process.once('message', (request: IssueRequest | FoundRequest) => {
  answer(request)
    .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
    .then((response) => process.send?.(response, () => process.disconnect()))
    .catch(() => process.exit(1));
});
