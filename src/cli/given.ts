/**
 * What the user gave for one command: flags first, then the environment. Nothing is stored or defaulted here, so that
 * "given" stays distinct from both. A value that cannot be read is refused (exit 2) with the name it was given under.
 */
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { environmentName, type OptionSpec } from './options.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

interface Source {
  /** As the user wrote it: `--port`, or TSFLANNEL_PORT. */
  readonly name: string;
  readonly texts: readonly string[];
}

export class Given {
  readonly #flags: Readonly<Record<string, unknown>>;
  readonly #environment: Environment;

  /** `flags` as commander parsed them: camelCase names; true, false, text or a list of texts. */
  constructor(flags: Readonly<Record<string, unknown>>, environment: Environment) {
    this.#flags = flags;
    this.#environment = environment;
  }

  /** Of an option that was given twice the last one counts. */
  get<T>(option: OptionSpec<T>): T | undefined {
    return this.all(option)?.at(-1);
  }

  all<T>(option: OptionSpec<T>): readonly T[] | undefined {
    const source = this.#source(option.name);
    return source?.texts.map((text) => {
      const value = option.parse(text);
      if (value !== undefined) return value;
      throw usageError(`${source.name}: ${JSON.stringify(text)} is not ${option.expected}.`);
    });
  }

  /** As written, for options that are read elsewhere. */
  texts(name: string): readonly string[] | undefined {
    return this.#source(name)?.texts;
  }

  /** An empty variable counts as none; of a repeatable option the environment holds one. */
  #source(name: string): Source | undefined {
    const flag = this.#flags[camelCase(name)];
    if (flag !== undefined) return { name: `--${name}`, texts: [flag].flat().map(String) };
    const variable = environmentName(name);
    const text = this.#environment[variable];
    return text === undefined || text === '' ? undefined : { name: variable, texts: [text] };
  }
}

export function usageError(
  text: string,
  fix = 'See "tsflannel --help", or --help after the command.',
): TsflannelError {
  return new TsflannelError(refuse('usage', EXIT.usage, text, fix));
}

function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
