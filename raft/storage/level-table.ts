/**
 * LevelDB's table files, verified against the checksums that LevelDB wrote into them. It does not look at those itself
 * here, and a wrong byte in an index does not merely hide records: it aborts the whole process. Pure.
 *
 *   blocks of data | filter block | metaindex block | index block | footer of 48 bytes
 *   a block is      content | type u8 | masked CRC-32C of both u32        everything little-endian
 */
import { DecodeError } from './bytes.ts';
import { Cursor, crc32c, masked } from './level-bytes.ts';

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const NOT_COMPRESSED = 0;

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/** Whether every byte that LevelDB would read is the one that it wrote. */
export function isTableIntact(file: Buffer): boolean {
  try {
    verifyTable(file);
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

function verifyTable(file: Buffer): void {
  const end = file.length - FOOTER_BYTES;
  if (end < 0 || !file.subarray(-MAGIC.length).equals(MAGIC)) throw new DecodeError('no table ends here');
  const footer = new Cursor(file.subarray(end));
  const metaindex = handleAt(footer);
  const index = handleAt(footer);
  const handles = [
    ...handlesIn(verifiedBlock(file, metaindex)),
    ...handlesIn(verifiedBlock(file, index)),
    metaindex,
    index,
  ];
  let next = 0;
  for (const handle of handles.toSorted((a, b) => a.offset - b.offset)) {
    if (handle.offset !== next) throw new DecodeError(`no block starts at ${next}`);
    verifiedBlock(file, handle);
    next += handle.size + TRAILER_BYTES;
  }
  if (next !== end) throw new DecodeError('the blocks do not fill the file');
}

function verifiedBlock(file: Buffer, { offset, size }: BlockHandle): Buffer {
  if (offset + size + TRAILER_BYTES > file.length) throw new DecodeError('a block is outside the file');
  const sealed = file.subarray(offset, offset + size + 1);
  if (sealed[size] !== NOT_COMPRESSED) throw new DecodeError('a block is compressed');
  if (file.readUInt32LE(offset + size + 1) !== masked(crc32c(sealed))) {
    throw new DecodeError('the checksum of a block is wrong');
  }
  return file.subarray(offset, offset + size);
}

/** The values of an index. Its keys share prefixes, and where they do not is listed at the end. */
function handlesIn(block: Buffer): BlockHandle[] {
  const restarts = block.length < 4 ? 0 : block.readUInt32LE(block.length - 4);
  const entries = new Cursor(block.subarray(0, Math.max(0, block.length - 4 * (restarts + 1))));
  const handles: BlockHandle[] = [];
  while (!entries.isAtEnd) {
    entries.varint();
    const keyBytes = entries.varint();
    entries.varint();
    entries.skip(keyBytes);
    handles.push(handleAt(entries));
  }
  return handles;
}

function handleAt(from: Cursor): BlockHandle {
  return { offset: from.varint(), size: from.varint() };
}
