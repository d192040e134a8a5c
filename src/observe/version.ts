/** The version of this program, as its package.json has it: found by the package's own name, from sources and build. */
import { createRequire } from 'node:module';

export function programVersion(): string {
  const manifest: unknown = createRequire(import.meta.url)('tsflannel/package.json');
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) {
    if (typeof manifest.version === 'string') return manifest.version;
  }
  throw new TypeError('the package.json of tsflannel names no version');
}
