/**
 * The rules of the house as functions over source text: who may import whom, who may print, what the pure core may
 * not touch, and what every file looks like. It owns the rules and nothing else; test/unit/import-rules.test.ts
 * feeds it the real tree, and one planted sin for each rule so that no rule can rot into a no-op.
 */

export interface SourceFile {
  /** Relative to the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

export interface Rule {
  readonly name: string;
  readonly check: (file: SourceFile) => readonly string[];
}

const MAX_LINES = 500;

/** `from` may import only what `allows` says. Paths are relative to the repository; packages are `npm:x`, `node:x`. */
interface ImportRule {
  readonly name: string;
  readonly from: RegExp;
  readonly allows: (target: string) => boolean;
}

const importRules: readonly ImportRule[] = [
  {
    name: 'raft/core imports only raft/core and raft/limits.ts',
    from: /^raft\/core\//,
    allows: (target) => /^raft\/core\/|^raft\/limits\.ts$/.test(target),
  },
  {
    name: 'src/net imports nothing of ours but itself',
    from: /^src\/net\//,
    allows: (target) => /^src\/net\/|^node:/.test(target),
  },
  {
    name: 'raft imports nothing from src',
    from: /^raft\//,
    allows: (target) => !target.startsWith('src/'),
  },
  {
    name: 'backend and dataplane never import raft, cluster or cli',
    from: /^src\/(backend|dataplane)\//,
    allows: (target) => !/^raft\/|^src\/(cluster|cli)\//.test(target),
  },
  {
    name: 'dataplane knows netlink only through its own interface',
    from: /^src\/dataplane\//,
    allows: (target) => !/^src\/netlink\/|^npm:(netlink|koffi)$/.test(target),
  },
  {
    name: 'only src/netlink uses the netlink package',
    from: /^(raft|src\/(?!netlink\/))/,
    allows: (target) => target !== 'npm:netlink',
  },
  {
    name: 'nobody but main imports daemon',
    from: /^(raft|src)\/(?!daemon\/|main\.ts$)/,
    allows: (target) => !target.startsWith('src/daemon/'),
  },
  {
    name: 'the product never imports its tests',
    from: /^(raft|src)\//,
    allows: (target) => !target.startsWith('test/'),
  },
];

/** `where` must not contain `what` outside of comments and strings. */
interface WordRule {
  readonly name: string;
  readonly where: RegExp;
  readonly what: RegExp;
}

const wordRules: readonly WordRule[] = [
  {
    name: 'raft/core has no clock, no random source and no I/O',
    where: /^raft\/core\//,
    what: /\bMath\.random\b|\bDate\b|\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\b(performance|process|crypto|globalThis|fetch)\s*\.|\basync\b|\bawait\b|\bPromise\b/g,
  },
  {
    name: 'only src/cli prints',
    // The simulator has a command line of its own.
    where: /^(raft\/(?!sim\/command-line\.ts$)|src\/(?!cli\/))/,
    what: /\bconsole\s*\.|\bprocess\s*\.\s*stdout\b/g,
  },
  { name: 'no `as any`', where: /./, what: /\bas\s+any\b|<an[y]>|:\s*any\b/g },
];

export const rules: readonly Rule[] = [
  ...importRules.map(({ name, from, allows }) => ({
    name,
    check: (file: SourceFile) =>
      from.test(file.path)
        ? importsOf(file)
            .filter((target) => !allows(target))
            .map((target) => `${file.path} imports ${target}`)
        : [],
  })),
  ...wordRules.map(({ name, where, what }) => ({
    name,
    check: (file: SourceFile) =>
      where.test(file.path)
        ? [...blank(file.text, true).matchAll(what)].map((match) => `${at(file, match.index)}: ${match[0]}`)
        : [],
  })),
  {
    name: 'every source file starts with a comment that says what it owns',
    check: (file) =>
      /^(#!.*\n)?\/\*\*/.test(file.text) || file.path.endsWith('.test.ts') ? [] : [`${file.path}: no header`],
  },
  {
    name: `no file is longer than ${MAX_LINES} lines`,
    check: (file) => {
      const lines = file.text.split('\n').length - 1;
      return lines > MAX_LINES ? [`${file.path}: ${lines} lines`] : [];
    },
  },
  {
    name: 'nothing is left for later',
    check: (file) =>
      [...file.text.matchAll(/\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/g)].map(
        (match) => `${at(file, match.index)}: ${match[0]}`,
      ),
  },
];

/** Every import, re-export, dynamic import and type import of a file, as repository paths, `node:x` or `npm:x`. */
export function importsOf(file: SourceFile): readonly string[] {
  const pattern =
    /\b(?:import|export)\b[^'"();=]*\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;
  return [...blank(file.text, false).matchAll(pattern)].map((match) =>
    resolve(file.path, match[1] ?? match[2] ?? ''),
  );
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  if (specifier.startsWith('.')) {
    const path = new URL(specifier, `file:///${from}`).pathname.slice(1);
    return path.endsWith('.js') ? `${path.slice(0, -3)}.ts` : path;
  }
  const [scope = '', name] = specifier.split('/');
  return `npm:${scope.startsWith('@') ? `${scope}/${name}` : scope}`;
}

/** Comments, and strings where asked, become spaces: what is left has the same length and line numbers. */
function blank(text: string, strings: boolean): string {
  const pattern = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(pattern, (match) => {
    if (match.startsWith('/')) return spaces(match);
    if (!strings) return match;
    // What stands in a template's ${...} is code, and stays.
    return match.startsWith('`')
      ? match.replace(/(\$\{[^}]*\})|[^\n]/g, (_, code) => code ?? ' ')
      : spaces(match);
  });
}

function spaces(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

function at(file: SourceFile, index: number): string {
  return `${file.path}:${file.text.slice(0, index).split('\n').length}`;
}
