import { defineConfig } from 'vitest/config';

/** One project a kind of test. The ones that need root and namespaces run one file at a time: they share a kernel. */
const serial = { fileParallelism: false, testTimeout: 60_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/paper/**/*.test.ts'] } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 600_000 } },
      { test: { name: 'lab', include: ['test/lab/**/*.test.ts'], ...serial } },
      {
        test: {
          name: 'scenarios',
          include: ['test/scenarios/**/*.test.ts'],
          ...serial,
          testTimeout: 180_000,
        },
      },
      { test: { name: 'docker', include: ['test/docker/**/*.test.ts'], ...serial, testTimeout: 180_000 } },
    ],
  },
});
