import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

/** One project a kind of test, one after the other, the quick ones first. */
let order = 0;
function project(name: string, timeoutMs: number, options: { serial?: boolean; include?: string[] } = {}) {
  const { serial = true, include = [`test/${name}/**/*.test.ts`] } = options;
  const config: TestProjectInlineConfiguration = {
    test: {
      name,
      include,
      testTimeout: timeoutMs,
      hookTimeout: timeoutMs,
      fileParallelism: !serial,
      sequence: { groupOrder: order++ },
    },
  };
  return config;
}

export default defineConfig({
  test: {
    allowOnly: false,
    // Of the consensus core, by its unit, paper and golden tests alone: simulations reach everything and pin down nothing.
    coverage: { include: ['raft/core/**'], reporter: ['text'], thresholds: { branches: 95 } },
    projects: [
      project('unit', 20_000, {
        serial: false,
        include: ['test/unit/**/*.test.ts', 'test/paper/**/*.test.ts', 'test/golden/**/*.test.ts'],
      }),
      project('storage', 600_000, { serial: false }),
      project('sim', 600_000, {
        serial: false,
        include: ['test/sim/**/*.test.ts', 'test/mutants/**/*.test.ts'],
      }),
      // These need root and namespaces and share a kernel: one file at a time.
      project('lab', 60_000),
      project('linearizability', 600_000),
      project('scenarios', 180_000),
      project('docker', 180_000),
    ],
  },
});
