/**
 * The file that holds the fence of a database (fence.ts). Owns its bytes on the disk and when they are synced: at once
 * for a term or a vote, which must not be forgotten, otherwise now and then. Knows nothing of the database itself.
 */
import { writeSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FENCE_SYNC_MS, FENCE_SYNC_WRITES } from '../limits.ts';
import { syncDirectory } from './directory.ts';
import { encodeSlot, FENCE_BYTES, type Fence, type FenceSlot, nextSlot, slotOffset } from './fence.ts';

export class FenceFile {
  readonly #handle: FileHandle;
  /** Called for a sync that nobody waits for. */
  onSyncFailed: (cause: unknown) => void = () => {};
  #newest: FenceSlot | null = null;
  /** Writes so far, those that a sync was begun for, and those that one has covered. */
  #written = 0;
  #syncing = 0;
  #synced = 0;
  #timer: NodeJS.Timeout | null = null;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Never leaves half a file under `path`. */
  static async create(path: string, fence: Fence): Promise<void> {
    const bytes = Buffer.alloc(FENCE_BYTES);
    const number = 0;
    encodeSlot({ number, fence }).copy(bytes, slotOffset(number));
    const unfinished = `${path}.new`;
    const handle = await open(unfinished, 'w', 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, path);
    await syncDirectory(dirname(path));
  }

  static async open(path: string): Promise<FenceFile> {
    const handle = await open(path, 'r+');
    // What a killed process wrote may not be on the disk yet.
    await handle.datasync();
    return new FenceFile(handle);
  }

  /** Whatever lies there. */
  async read(): Promise<Buffer> {
    const bytes = Buffer.alloc(FENCE_BYTES);
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  }

  /** The slot that the next one follows. */
  continueFrom(newest: FenceSlot): void {
    this.#newest = newest;
  }

  /** Resolves when a crash of the process cannot undo it; with a new term or vote, when nothing can. */
  async record(fence: Fence): Promise<void> {
    const before = this.#newest;
    const number = nextSlot(before?.number ?? 0, this.#synced === this.#written);
    this.#newest = { number, fence };
    const bytes = encodeSlot(this.#newest);
    // A copy into the page cache: a turn through the thread pool would cost every write more than that.
    const bytesWritten = writeSync(this.#handle.fd, bytes, 0, bytes.length, slotOffset(number));
    if (bytesWritten !== bytes.length) throw new Error('the fence was written in part');
    this.#written += 1;
    const isPromise = fence.term !== before?.fence.term || fence.vote !== before.fence.vote;
    if (isPromise || this.#written - this.#syncing >= FENCE_SYNC_WRITES) await this.sync();
    else this.#timer ??= setTimeout(() => this.#syncLater(), FENCE_SYNC_MS).unref();
  }

  async sync(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#syncing === this.#written) return;
    const covered = this.#written;
    this.#syncing = covered;
    await this.#handle.datasync();
    this.#synced = Math.max(this.#synced, covered);
  }

  #syncLater(): void {
    this.sync().catch((cause: unknown) => this.onSyncFailed(cause));
  }

  /** Without a sync. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#handle.close();
  }
}
