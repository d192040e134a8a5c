/**
 * Reads what other programs of this host have written, below a root that is `/` but in tests. Bounded, and never an
 * error: a file that is missing, too large or not ours to read is null, for what is not known is no reason to warn.
 */
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The largest of these files are rule sets that programs write for themselves. */
const FILE_BYTES_MAX: number = 256 << 10;
const NAMES_MAX = 256;

export class HostFiles {
  readonly #root: string;

  constructor(root = '/') {
    this.#root = root;
  }

  async text(path: string): Promise<string | null> {
    return known(async () => {
      const full = join(this.#root, path);
      // What a kernel file holds has no size.
      return (await stat(full)).size > FILE_BYTES_MAX ? null : await readFile(full, 'utf8');
    });
  }

  /** Sorted; none where there is no such directory. */
  async names(directory: string): Promise<readonly string[]> {
    const names = await known(() => readdir(join(this.#root, directory)));
    return (names ?? []).sort().slice(0, NAMES_MAX);
  }

  async link(path: string): Promise<string | null> {
    return known(() => readlink(join(this.#root, path)));
  }

  /** When this was made, also a link that leads nowhere. */
  async madeAtMs(path: string): Promise<number | null> {
    return known(async () => (await lstat(join(this.#root, path))).mtimeMs);
  }

  /** When its content, name or place was changed last. */
  async changedAtMs(path: string): Promise<number | null> {
    return known(async () => (await stat(join(this.#root, path))).ctimeMs);
  }
}

async function known<T>(read: () => Promise<T | null>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
}
