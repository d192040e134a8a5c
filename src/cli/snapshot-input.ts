/** The snapshot file that the user names, read as a whole and verified before anything is done with it. */
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import {
  decodeSnapshotFile,
  SNAPSHOT_FILE_BYTES_MAX,
  type SnapshotFile,
  SnapshotFileError,
} from '../subnet/snapshot-file.ts';
import { readInputBytes } from './input-file.ts';

/** Throws TsflannelError: unreadable (2), damaged or of a newer version (1). */
export async function readSnapshot(path: string): Promise<SnapshotFile> {
  const bytes = await readInputBytes(path, SNAPSHOT_FILE_BYTES_MAX);
  try {
    return decodeSnapshotFile(bytes);
  } catch (error) {
    if (!(error instanceof SnapshotFileError)) throw error;
    throw new TsflannelError(
      refuse(
        'snapshot-damaged',
        EXIT.failed,
        `The snapshot ${path} cannot be used: ${error.message}.`,
        'Take another copy of it, or another file that "tsflannel snapshot save" has written.',
      ),
      { cause: error },
    );
  }
}
