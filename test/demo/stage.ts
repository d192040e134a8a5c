/** What the demo prints: acts with the time since the start, commands at the prompt of their host, and their output. */

export class Stage {
  readonly #start = performance.now();

  say(text: string): void {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(1).padStart(5);
    this.print(`\n${seconds}s  ${text}`);
  }

  command(host: string, words: readonly string[]): void {
    this.print(`        ${host}$ ${words.map(quote).join(' ')}`);
  }

  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.print(`        │ ${line}`);
  }

  /** Columns as wide as their widest cell. */
  table(rows: readonly (readonly string[])[]): void {
    const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
    for (const row of rows)
      this.print(
        `        ${row
          .map((cell, i) => cell.padEnd(width(i)))
          .join('  ')
          .trimEnd()}`,
      );
  }

  print(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word}'`;
}
