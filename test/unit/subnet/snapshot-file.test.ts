import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toReplicaId, toTerm } from '../../../raft/core/types.ts';
import {
  decodeSnapshotFile,
  encodeSnapshotFile,
  type SnapshotFile,
  SnapshotFileError,
} from '../../../src/subnet/snapshot-file.ts';
import { encodeState } from '../../../src/subnet/state.ts';
import { acquireCommand, bootstrapCommand, joinCommand, node, Replica } from './samples.ts';

function sample(): SnapshotFile {
  const cluster = new Replica();
  cluster.apply(bootstrapCommand());
  cluster.expect('joined', joinCommand(2));
  cluster.expect('acquired', acquireCommand(2));
  return {
    savedBy: node(1),
    savedAt: '2026-11-23T10:00:00.000Z',
    staleMs: 12,
    term: toTerm(7),
    voters: [toReplicaId(1)],
    state: cluster.state,
  };
}

/** Whatever the body is, under a digest that fits. */
function sealed(body: Uint8Array): Uint8Array {
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

describe('a snapshot file', () => {
  const bytes = encodeSnapshotFile(sample());
  const body = bytes.subarray(0, bytes.length - 32);

  test('is read back as it was written', () => {
    expect(decodeSnapshotFile(bytes)).toEqual(sample());
  });

  test('stands as docs/formats.md says', () => {
    expect(Buffer.from(bytes.subarray(0, 9)).toString('latin1')).toBe('tsflsnap\u0001');
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const header = view.getUint32(9);
    const state = view.getUint32(13 + header);
    expect(13 + header + 4 + state + 32).toBe(bytes.length);
    const stored = bytes.subarray(17 + header, 17 + header + state);
    expect(Buffer.from(stored)).toEqual(Buffer.from(encodeState(sample().state)));
    expect(sealed(body)).toEqual(Buffer.from(bytes));
  });

  test('is refused with any byte changed, wherever it is', () => {
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      expect(() => decodeSnapshotFile(changed), `byte ${at}`).toThrow(SnapshotFileError);
    }
  });

  test('is refused when it was cut or grew, wherever it is cut', () => {
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeSnapshotFile(bytes.subarray(0, length)), `${length} bytes`).toThrow(
        SnapshotFileError,
      );
    expect(() => decodeSnapshotFile(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(SnapshotFileError);
  });

  test('is not believed for its digest alone', () => {
    const grown = Buffer.concat([body, Buffer.from([0])]);
    expect(() => decodeSnapshotFile(sealed(grown))).toThrow(/too many/);
    const lying = Buffer.from(body);
    lying.writeUInt32BE(0xffff_ffff, 9);
    expect(() => decodeSnapshotFile(sealed(lying))).toThrow(SnapshotFileError);
    const foreign = Buffer.from(body);
    foreign.write('"term":0', foreign.indexOf('"term":7'));
    expect(() => decodeSnapshotFile(sealed(foreign))).toThrow(/term/);
  });

  test('says what it is where it is something else', () => {
    expect(() => decodeSnapshotFile(Buffer.from('SQLite format 3\0'))).toThrow(/not a snapshot/);
    const newer = Buffer.from(body);
    newer[8] = 2;
    expect(() => decodeSnapshotFile(sealed(newer))).toThrow(/version 2 is not known/);
  });
});
