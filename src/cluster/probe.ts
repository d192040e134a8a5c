/** Asks a host who it is in its cluster, without being anybody: what every agent tells everybody. */
import type { X509Certificate } from 'node:crypto';
import { connectAnonymous } from '../../raft/transport/anonymous.ts';
import { TransportError } from '../../raft/transport/errors.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { encodeRpc, type ProbeAnswer, parseRpcAnswer } from './rpc.ts';

/** Null when nobody answers, or `verify` says no to the key of who does. */
export async function probe(
  endpoint: Endpoint,
  verify: (leaf: X509Certificate) => boolean,
  signal: AbortSignal,
): Promise<ProbeAnswer | null> {
  try {
    await using session = await connectAnonymous(endpoint, { verify, signal });
    const answer = parseRpcAnswer(await session.request(encodeRpc({ method: 'probe' }), { signal }));
    return answer?.kind === 'probe' ? answer : null;
  } catch (error) {
    if (error instanceof TransportError) return null;
    throw error;
  }
}
