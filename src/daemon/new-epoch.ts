/**
 * Makes this host the only member of a new epoch of its cluster. Everything is made beside what is there: the CA, the
 * key, the database; then cluster.json changes, at once. Interrupted before that, the host is what it was and the same
 * call makes it all anew; interrupted after it, the epoch is there and only its token is lost. The agent removes what is
 * left of the old epoch when it starts.
 *
 * Old members cannot come in: another CA, another context of the transport, and no record of their replica ids.
 */
import { X509Certificate } from 'node:crypto';
import type { EntryId, Term } from '../../raft/core/types.ts';
import { oneVoterState } from '../../raft/runtime/recovery.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import type { NewEpoch } from '../cli/recovery.ts';
import { foundAuthority } from '../cluster/certificate-authority.ts';
import { saveCaKey, saveClusterFile } from '../cluster/cluster-file.ts';
import { removeOtherEpochs } from '../cluster/epoch.ts';
import { certificateDigest, formatToken, joinLine, newTokenSecret } from '../cluster/token.ts';
import type { MemberProfile } from '../subnet/member.ts';
import { newEpoch } from '../subnet/new-epoch.ts';
import { type ClusterState, encodeState } from '../subnet/state.ts';
import { hashSecret } from '../subnet/token.ts';
import { raftFiles } from './directories.ts';

export interface EpochOrigin {
  readonly dataDir: string;
  /** In force here now; null on a host that is in no cluster. */
  readonly currentEpoch: number | null;
  /** Above every epoch that the cluster is known to have had. */
  readonly epoch: number;
  /** What the state is of, and the highest term seen with it. */
  readonly last: EntryId;
  readonly term: Term;
  readonly state: ClusterState;
  /** This host. */
  readonly profile: MemberProfile;
}

const TOKEN_TTL_MS = 24 * 60 * 60 * 1000;

/** The caller holds the directory lock. */
export async function beginEpoch(origin: EpochOrigin): Promise<NewEpoch> {
  const { dataDir, currentEpoch, epoch, profile, last, term } = origin;
  const { id, secret } = newTokenSecret();
  const token = {
    id,
    secretHash: hashSecret(secret),
    role: 'learner',
    ttlMs: TOKEN_TTL_MS,
    usesMax: null,
  } as const;
  const { state, member } = newEpoch(origin.state, { epoch, profile, token });
  const { clusterId } = state;
  const { nodeId, replicaId } = member;
  const authority = await foundAuthority({
    publicKey: profile.publicKey,
    names: { clusterId, epoch, nodeId, replicaId },
  });
  await removeOtherEpochs(dataDir, currentEpoch); // of a call that was interrupted
  await using storage = await LevelStorage.create(
    raftFiles(dataDir, epoch).database,
    { cluster: clusterId, replica: replicaId },
    oneVoterState(last, term, replicaId, encodeState(state)),
  );
  await storage.close();
  await saveCaKey(dataDir, epoch, authority.caKey);
  const { caCert, nodeCert } = authority;
  await saveClusterFile(dataDir, {
    state: 'member',
    clusterId,
    epoch,
    replicaId,
    caCert,
    nodeCert,
    known: [],
    announced: true,
  });
  const text = formatToken({ id, caDigest: certificateDigest(new X509Certificate(caCert).raw), secret });
  const joinCommand = joinLine(text, profile.address, profile.port);
  return { clusterId, epoch, node: { id: nodeId, name: profile.name }, token: text, joinCommand };
}
