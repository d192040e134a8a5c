/**
 * Which tables LevelDB holds to be live, read from its MANIFEST: the others are what a crash left of one that never came
 * to be, and their bytes mean nothing. Pure. Believes as much as LevelDB does: everything up to the first record that is
 * not whole, which a crash may leave at the end.
 *
 *   record    masked CRC-32C of the rest u32 | length u16 | type u8 | data       little-endian, never across 32 KiB
 *   data      edits, each a tag and its fields; strings have their length before them
 */
import { DecodeError } from './bytes.ts';
import { Cursor, crc32c, masked } from './level-bytes.ts';

const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;
const TYPE = { full: 1, first: 2, middle: 3, last: 4 } as const;

/** How many numbers and strings, in order, follow each tag. */
const FIELDS: Readonly<Record<number, readonly ('number' | 'string')[]>> = {
  1: ['string'],
  2: ['number'],
  3: ['number'],
  4: ['number'],
  5: ['number', 'string'],
  6: ['number', 'number'],
  7: ['number', 'number', 'number', 'string', 'string'],
  9: ['number'],
};
const DELETED_FILE = 6;
const NEW_FILE = 7;

/** The numbers of the tables. */
export function liveTables(manifest: Buffer): ReadonlySet<number> {
  const live = new Set<number>();
  try {
    for (const edits of records(manifest)) applyEdits(edits, live);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return live;
}

function applyEdits(edits: Buffer, live: Set<number>): void {
  const from = new Cursor(edits);
  while (!from.isAtEnd) {
    const tag = from.varint();
    const fields = FIELDS[tag];
    if (fields === undefined) throw new DecodeError(`edit ${tag} is not known`);
    const numbers: number[] = [];
    for (const field of fields) {
      const number = from.varint();
      if (field === 'string') from.skip(number);
      else numbers.push(number);
    }
    const file = numbers[1] ?? 0;
    if (tag === NEW_FILE) live.add(file);
    if (tag === DELETED_FILE) live.delete(file);
  }
}

function* records(file: Buffer): Generator<Buffer, void> {
  let parts: Buffer[] = [];
  for (let at = 0; at + HEADER_BYTES <= file.length; ) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const size = file.readUInt16LE(at + 4);
    const end = at + HEADER_BYTES + size;
    const sealed = file.subarray(at + 6, end);
    if (end > file.length || file.readUInt32LE(at) !== masked(crc32c(sealed))) return;
    const type = sealed[0];
    parts = type === TYPE.full || type === TYPE.first ? [sealed.subarray(1)] : [...parts, sealed.subarray(1)];
    if (type === TYPE.full || type === TYPE.last) yield Buffer.concat(parts);
    at = end;
  }
}
