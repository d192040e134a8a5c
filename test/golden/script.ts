/**
 * The form of a scenario file, and nothing of what the commands mean:
 *
 *     # What it shows, and where it comes from.
 *
 *     command
 *     command
 *     ----
 *     what happened
 *
 * A block is commands, a line `----`, and the expected output; an empty line ends it. Lines that begin with `#` stay where
 * they are.
 */

export interface Block {
  /** Comment lines before the commands. */
  readonly comments: readonly string[];
  readonly commands: readonly string[];
  readonly output: readonly string[];
}

const SEPARATOR = '----';

export function parseScript(text: string): Block[] {
  return text
    .split(/\n\n+/)
    .map((paragraph) => paragraph.split('\n').filter((line) => line !== ''))
    .filter((lines) => lines.length > 0)
    .map((lines) => {
      const end = lines.indexOf(SEPARATOR);
      const head = end === -1 ? lines : lines.slice(0, end);
      return {
        comments: head.filter((line) => line.startsWith('#')),
        commands: head.filter((line) => !line.startsWith('#')),
        output: end === -1 ? [] : lines.slice(end + 1),
      };
    });
}

export function renderScript(blocks: readonly Block[]): string {
  const paragraphs = blocks.map(({ comments, commands, output }) => {
    const result = commands.length === 0 ? [] : [SEPARATOR, ...output];
    return [...comments, ...commands, ...result].join('\n');
  });
  return `${paragraphs.join('\n\n')}\n`;
}
