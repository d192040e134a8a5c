/** What the documents say is there is there: the files they link to, and the tests that docs/testing.md names. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

const documents = [
  'README.md',
  'deploy/host/README.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
];

test.each(documents)('%s links to files that are there', (document) => {
  const links = [...read(document).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, link = '']) => link);
  const missing = links.filter((link) => !existsSync(join(root, dirname(document), link)));
  expect(missing).toEqual([]);
});

/** `[file](../test/...) “part of a title”, “of another one”` */
function namedTests(document: string): readonly { readonly path: string; readonly title: string }[] {
  return [...document.matchAll(/\]\(\.\.\/(test\/[^)]+)\)((?:,? “[^”]+”)+)/g)].flatMap(
    ([, path = '', titles = '']) =>
      [...titles.matchAll(/“([^”]+)”/g)].map(([, title = '']) => ({ path, title })),
  );
}

test('docs/testing.md names tests that are there', () => {
  const named = namedTests(read('docs/testing.md'));
  expect(named.length).toBeGreaterThan(40);
  expect(
    named.filter(({ path, title }) => !existsSync(join(root, path)) || !read(path).includes(title)),
  ).toEqual([]);
});
