import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { importsOf, rules, type SourceFile } from '../support/source-rules.ts';

const root = new URL('../../', import.meta.url);

function sourcesUnder(directory: string): readonly SourceFile[] {
  return readdirSync(new URL(directory, root), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${directory}/${name}`)
    .map((path) => ({ path, text: readFileSync(fileURLToPath(new URL(path, root)), 'utf8') }));
}

const product = [...sourcesUnder('src'), ...sourcesUnder('raft')];
const everything = [...product, ...sourcesUnder('test')];

describe('the tree keeps every rule', () => {
  for (const rule of rules) {
    test(rule.name, () => {
      expect(everything.flatMap((file) => rule.check(file))).toEqual([]);
    });
  }

  test('and is really read', () => {
    expect(product.length).toBeGreaterThan(10);
    expect(product.flatMap(importsOf).length).toBeGreaterThan(10);
  });
});

/** One or more sins for each rule: path, text, and how often the rule must speak. */
const sins: Record<string, readonly (readonly [path: string, text: string])[]> = {
  'raft/core imports only raft/core and raft/limits.ts': [
    ['raft/core/log.ts', "import { x } from '../storage/storage.ts';"],
    ['raft/core/log.ts', "import type { x } from 'node:fs';"],
    ['raft/core/log.ts', "export * from 'level';"],
    ['raft/core/log.ts', "import {\n  a,\n  b,\n} from '../runtime/node.ts';"],
  ],
  'src/net imports nothing of ours but itself': [['src/net/ip.ts', "import { x } from '../errors.ts';"]],
  'raft imports nothing from src': [
    ['raft/runtime/node.ts', "import { x } from '../../src/net/ip.ts';"],
    ['raft/index.ts', "export { x } from '../src/errors.ts';"],
  ],
  'backend and dataplane never import raft, cluster or cli': [
    ['src/backend/vxlan.ts', "import { x } from '../../raft/index.ts';"],
    ['src/dataplane/plan.ts', "import '../cluster/replica.ts';"],
    ['src/dataplane/plan.ts', "const m = await import('../cli/status.ts');"],
  ],
  'dataplane knows netlink only through its own interface': [
    ['src/dataplane/reconciler.ts', "import { x } from '../netlink/handle.ts';"],
    ['src/dataplane/reconciler.ts', "import koffi from 'koffi';"],
  ],
  'only src/netlink uses the netlink package': [
    ['src/path/prober.ts', "import { x } from 'netlink/dist/rt';"],
  ],
  'nobody but main imports daemon': [
    ['src/cli/agent.ts', "import { x } from '../daemon/daemon.ts';"],
    ['src/errors.ts', "import { x } from './daemon/daemon.ts';"],
  ],
  'the product never imports its tests': [['src/main.ts', "import { x } from '../test/lab/lab.ts';"]],
  'raft/core has no clock, no random source and no I/O': [
    ['raft/core/raft.ts', 'const x = Math.random();'],
    ['raft/core/raft.ts', 'const x = Date.now();'],
    ['raft/core/raft.ts', 'setTimeout(f, 1);'],
    ['raft/core/raft.ts', 'const x = `$' + '{process.pid}`;'],
    ['raft/core/raft.ts', 'export async function f() {}'],
  ],
  'only src/cli prints': [
    ['src/daemon/daemon.ts', 'console.log(1);'],
    ['raft/runtime/node.ts', 'process.stdout.write(x);'],
  ],
  'no `as any`': [['src/main.ts', 'const x = y as any;']],
  'every source file starts with a comment that says what it owns': [['src/main.ts', "import 'x';"]],
  'no file is longer than 500 lines': [['src/main.ts', '\n'.repeat(501)]],
  'nothing is left for later': [['src/main.ts', `/** ${'TO'}${'DO'}: later */`]],
};

describe('every rule speaks when it is broken', () => {
  for (const rule of rules) {
    test(rule.name, () => {
      const planted = sins[rule.name] ?? [];
      expect(planted.length).toBeGreaterThan(0);
      for (const [path, text] of planted)
        expect([path, text, rule.check({ path, text }).length]).toEqual([path, text, 1]);
    });
  }

  test('and is silent on comments, strings and what is allowed', () => {
    const innocent: readonly SourceFile[] = [
      {
        path: 'raft/core/log.ts',
        text: "/** no Date here */\nimport { x } from '../limits.ts'; // setTimeout\n",
      },
      { path: 'raft/core/log.ts', text: "/** x */\nthrow new Error('Math.random is not ours');" },
      { path: 'src/daemon/daemon.ts', text: '/** x */\nconst x = `console.log`;' },
      { path: 'src/main.ts', text: "/** x */\nimport { x } from './daemon/daemon.ts';" },
      { path: 'src/cli/status.ts', text: '#!/usr/bin/env node\n/** x */\nprocess.stdout.write(x);' },
    ];
    for (const file of innocent) expect(rules.flatMap((rule) => rule.check(file))).toEqual([]);
  });
});
