/**
 * The last line of a test run: `N passed, N failed`. A skipped test has proven nothing and counts as failed, and so do
 * a file that could not be loaded, an error outside any test, and a run without a single test.
 */
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

// Vitest takes a reporter from the default export of its file.
// biome-ignore lint/style/noDefaultExport: see above
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const passed = tests.filter((test) => test.result().state === 'passed').length;
    const skipped = tests.filter((test) => !['passed', 'failed'].includes(test.result().state));
    const broken = modules.reduce((sum, module) => sum + module.errors().length, 0);
    const nothing = tests.length === 0 ? 1 : 0;
    const failed = tests.length - passed + broken + errors.length + nothing;
    // At exit, so that nothing comes after it.
    process.once('exit', () => {
      for (const test of skipped)
        process.stdout.write(`not run: ${test.module.moduleId}: ${test.fullName}\n`);
      process.stdout.write(`${passed} passed, ${failed} failed\n`);
      if (failed > 0) process.exitCode = 1;
    });
  }
}
