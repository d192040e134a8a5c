/**
 * Docker's unit on this host, as systemd would read it: the first file of its name in the order of systemd's
 * directories, then the drop-ins beside any of them, by name. Reads files and asks nobody, so it works where systemd
 * does not run.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileBounded, writeFileAtomic } from '../config/atomic-file.ts';
import type { UnitTexts } from './drop-in.ts';

const UNIT = 'docker.service';
/** An earlier one hides files of the same name in the later ones. */
const DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'usr/lib', 'lib'].map((root) => `${root}/systemd/system`);
const OUR_DROP_IN = 'tsflannel.conf';
const UNIT_BYTES_MAX: number = 256 << 10;
const DAEMON_JSON_BYTES_MAX: number = 1 << 20;

export class DockerUnit {
  readonly #root: string;

  /** `root` is for tests. */
  constructor(root = '/') {
    this.#root = root;
  }

  get dropInPath(): string {
    return join(this.#root, 'etc/systemd/system', `${UNIT}.d`, OUR_DROP_IN);
  }

  /** Without ours. Empty where Docker has no unit. */
  async texts(): Promise<UnitTexts> {
    const unit = await this.#first(DIRECTORIES.map((directory) => join(directory, UNIT)));
    if (unit === undefined) return [];
    const dropIns = new Map<string, string>();
    for (const directory of [...DIRECTORIES].reverse())
      for (const name of await this.#names(`${directory}/${UNIT}.d`))
        dropIns.set(name, `${directory}/${UNIT}.d/${name}`);
    const paths = [...dropIns].filter(([name]) => name !== OUR_DROP_IN).sort(([a], [b]) => (a < b ? -1 : 1));
    const texts = await Promise.all(paths.map(([, path]) => this.#first([path])));
    return [unit, ...texts.filter((text) => text !== undefined)];
  }

  /** Undefined where there is none. */
  readDropIn(): Promise<string | undefined> {
    return readText(this.dropInPath, UNIT_BYTES_MAX);
  }

  async writeDropIn(text: string): Promise<void> {
    await writeFileAtomic(this.dropInPath, text, { mode: 0o644, parentMode: 0o755 });
  }

  get daemonJsonPath(): string {
    return join(this.#root, 'etc/docker/daemon.json');
  }

  readDaemonJson(): Promise<string | undefined> {
    return readText(this.daemonJsonPath, DAEMON_JSON_BYTES_MAX);
  }

  async #first(paths: readonly string[]): Promise<string | undefined> {
    for (const path of paths) {
      const text = await readText(join(this.#root, path), UNIT_BYTES_MAX);
      if (text !== undefined) return text;
    }
    return undefined;
  }

  async #names(directory: string): Promise<readonly string[]> {
    const names = await readdir(join(this.#root, directory)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names.filter((name) => name.endsWith('.conf'));
  }
}

async function readText(path: string, bytesMax: number): Promise<string | undefined> {
  const bytes = await readFileBounded(path, bytesMax);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
