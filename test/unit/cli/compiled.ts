/** Compiles one entry of the tests and what it imports into a directory of its own: Node 20 runs no TypeScript. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface Compiled extends Disposable {
  /** The script to run. */
  readonly script: string;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));

export async function compile(entry: URL): Promise<Compiled> {
  const directory = mkdtempSync(join(tmpdir(), 'cl-compiled-'));
  const source = fileURLToPath(entry);
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'));
  const config = join(directory, 'tsconfig.json');
  const compilerOptions = { rootDir: root, outDir: join(directory, 'dist') };
  writeFileSync(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: [source] }),
  );
  const remove = (): void => rmSync(directory, { recursive: true });
  await tsc(config).catch((error: unknown) => {
    remove();
    throw error;
  });
  const script = join(directory, 'dist', relative(root, source).replace(/\.ts$/, '.js'));
  return { script, [Symbol.dispose]: remove };
}

async function tsc(config: string): Promise<void> {
  const run = promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', config], { cwd: root });
  await run.catch((cause: unknown) => {
    const said = cause instanceof Error && 'stdout' in cause ? String(cause.stdout) : '';
    throw new Error(`it does not compile:\n${said}`, { cause });
  });
}
