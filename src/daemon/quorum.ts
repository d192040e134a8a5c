/** Whether the cluster can do without a host, asked before it goes. */
import type { Replica } from '../cluster/replica.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { Member } from '../subnet/member.ts';

/** Null when it can. What is there is what this host hears. */
export function quorumRefusal(replica: Replica, { replicaId, name }: Member): Refusal | null {
  const { voters } = replica.raft.configuration;
  if (!voters.includes(replicaId)) return null;
  const others = voters.filter((voter) => voter !== replicaId);
  const alive = others.filter((voter) => voter === replica.id || replica.hears(voter)).length;
  if (others.length > 0 && alive > others.length / 2) return null;
  return refuse(
    'costs-the-quorum',
    EXIT.failed,
    `Without ${name} the cluster would have no quorum: ${alive} of ${others.length} other voters are there.`,
    others.length === 0
      ? 'Join two more hosts that may vote first ("tsflannel token create --role voter").'
      : 'Bring the missing voters back first, or join new ones.',
  );
}
