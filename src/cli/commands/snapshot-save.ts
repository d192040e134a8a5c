/** `snapshot save FILE`: what this host knows of the cluster, as one file. Needs no quorum; says how old it is. */
import { toReplicaId, toTerm } from '../../../raft/core/types.ts';
import { writeFileAtomic } from '../../config/atomic-file.ts';
import { canonicalJson } from '../../config/strict-json.ts';
import type { LocalRead, SavedState } from '../../control/answers.ts';
import { EXIT, refuse, TsflannelError } from '../../errors.ts';
import { toNodeId } from '../../subnet/lease.ts';
import { encodeSnapshotFile, type SnapshotFile } from '../../subnet/snapshot-file.ts';
import { decodeState } from '../../subnet/state.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';

export const snapshotSave: CommandFunction = async (context, [path = '']) => {
  const answer = await context.ask('snapshotSave', {});
  const snapshot = snapshotOf(answer);
  const bytes = encodeSnapshotFile(snapshot);
  await writeFileAtomic(path, bytes, { mode: 0o600 }).catch((error: unknown) => {
    throw unwritable(path, error);
  });
  const { clusterId, epoch, index } = snapshot.state;
  const document = { file: path, bytes: bytes.length, clusterId, epoch, index, staleMs: snapshot.staleMs };
  reportLocal(
    context,
    { data: document, staleMs: answer.staleMs },
    () => `saved cluster ${clusterId} at index ${index} to ${path} (${bytes.length} bytes)`,
  );
  return EXIT.ok;
};

function snapshotOf({ data, staleMs }: LocalRead<SavedState>): SnapshotFile {
  const state = decodeState(Buffer.from(canonicalJson(data.state)));
  if (state === null) throw new TypeError('the agent has no state and saved it');
  return {
    savedBy: toNodeId(data.nodeId),
    savedAt: new Date().toISOString(),
    staleMs: Math.round(staleMs),
    term: toTerm(data.term),
    voters: data.voters.map(toReplicaId),
    state,
  };
}

function unwritable(path: string, cause: unknown): TsflannelError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TsflannelError(
    refuse(
      'unwritable-output',
      EXIT.failed,
      `Cannot write ${path}: ${reason}.`,
      'Give a file in a directory that can be written to.',
    ),
    { cause },
  );
}
